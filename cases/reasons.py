"""Every reason for which a case or a drop stops, as one table: its code, what happened and what to do next.

The texts are what clinics and operators read; they hold no patient identity. `{detail}` is appended by the pages.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reason:
    """`what` and `todo` in English and Simplified Chinese; `who` acts: the clinic or an operator.

    `back` is what the clinic does once the case or drop was sent back to it: for its own reasons the same as `todo`.
    """

    code: str
    who: str
    what: str
    todo: str
    what_zh: str
    todo_zh: str
    back: str
    back_zh: str


# What the clinic of a quarantined case or drop is told to do.
HELD = ("An operator of the network looks at it; you need do nothing.", "运营人员将进行核查,贵机构无需操作。")

# code | who | what happened | what to do | the same in Chinese
_ROWS: tuple[tuple[str, str, str, str, str, str], ...] = (
    # --- drops
    ("order-invalid", "clinic", "The order cannot be read.", "Correct order.json as listed and drop again.",
     "申请单无法读取。", "请按所列内容修改 order.json 后重新提交。"),
    ("order-incomplete", "clinic", "The order lacks required parts.", "Fill in the parts listed and drop again.",
     "申请单缺少必填内容。", "请补齐所列内容后重新提交。"),
    ("unknown-clinic", "operator", "The drop is under a name that is no clinic of the network.",
     "Add the clinic to the network file, or tell the sender the right prefix.",
     "提交路径不属于本网络的任何机构。", "请在网络文件中登记该机构,或告知提交者正确的路径。"),
    ("files-missing", "clinic", "Files named in the order did not arrive within 30 minutes.",
     "Upload the files listed and drop again.", "申请单所列文件未在30分钟内到达。", "请上传所列文件后重新提交。"),
    ("file-differs", "clinic", "A file's size or SHA-256 differs from the order's.",
     "Upload the file again; if it differs again, make a new order from the files.",
     "文件大小或 SHA-256 与申请单不符。", "请重新上传该文件;如仍不符,请用现有文件重新生成申请单。"),
    ("accession-reused", "operator", "The accession number already belongs to another case of this clinic.",
     "Ask the clinic whether this replaces the earlier case; then reject one of the two.",
     "该检查号已用于本机构的另一病例。", "请与机构确认是否替换原病例,然后退回其中之一。"),
    # --- what cannot be trusted
    ("identity-mismatch", "operator", "The patient in a file is not the patient of the order.",
     "Compare the files with the order with the clinic; reject the case if they do not belong together.",
     "文件中的患者与申请单不一致。", "请与机构核对;如不属于同一患者,请退回该病例。"),
    ("label-mismatch", "operator", "A slide's label does not match the order's pathology number, block or stain.",
     "Compare the label's picture with the order with the clinic.",
     "切片标签与申请单的病理号、蜡块或染色不符。", "请与机构对照标签图片核对。"),
    ("file-damaged", "operator", "A file cannot be read to its end.", "Ask the clinic to export and drop the file again.",
     "文件损坏,无法完整读取。", "请机构重新导出并提交该文件。"),
    ("format-unknown", "operator", "A file is of a kind that the network does not take.",
     "Ask the clinic to export it as DICOM or as an Aperio, Philips TIFF, DICOM or pyramidal TIFF slide.",
     "文件格式不受支持。", "请机构导出为 DICOM,或 SVS、飞利浦 TIFF、DICOM、金字塔 TIFF 切片。"),
    ("archive-unsafe", "operator", "A ZIP archive exceeds the limits or names files outside itself.",
     "Ask the clinic to drop the files without the archive.", "压缩包超出限制或包含非法路径。", "请机构不打包直接提交文件。"),
    ("uid-conflict", "operator", "Two files carry the same UID with different content.",
     "Ask the clinic which of them is right and to drop that one alone.",
     "两个文件的 UID 相同但内容不同。", "请机构确认正确的文件并单独提交。"),
    ("uid-invalid", "operator", "A file carries an invalid UID.", "Ask the clinic to export the study again from its PACS.",
     "文件中的 UID 无效。", "请机构从 PACS 重新导出该检查。"),
    ("service-mismatch", "operator", "The files do not fit the service that the order asks for.",
     "Ask the clinic to correct the order or the files.", "文件与申请的服务类型不符。", "请机构更正申请单或文件。"),
    ("read-limit", "operator", "Reading a file took more time or memory than allowed.",
     "Look at the file in isolation; it may be made to do harm.", "读取文件超出时间或内存限制。", "请隔离检查该文件,可能为恶意文件。"),
    # --- inadequate
    ("no-tissue", "clinic", "A slide shows no tissue.", "Check that the right slide was scanned, and scan again.",
     "切片上未见组织。", "请确认扫描的切片是否正确并重新扫描。"),
    ("out-of-focus", "clinic", "A slide is out of focus.", "Clean the slide, set focus points and scan again.",
     "切片图像未对焦。", "请清洁切片、设置对焦点后重新扫描。"),
    ("slices-missing", "clinic", "A series has gaps: slices are missing.", "Send the whole series again from the scanner or PACS.",
     "序列不完整,缺少层面。", "请从设备或 PACS 重新发送完整序列。"),
    ("no-question", "clinic", "The order asks no clinical question.", "State what the reader is to answer and drop again.",
     "申请单未填写临床问题。", "请说明需要解答的问题后重新提交。"),
    ("no-images", "clinic", "The drop holds no image that can be read.", "Add the study or slide and drop again.",
     "未包含可读取的影像。", "请加入检查影像或切片后重新提交。"),
    # --- the clinic answers
    ("label-unreadable", "clinic", "A slide's label cannot be read.", "Confirm the slide beside the picture of its label.",
     "切片标签无法识别。", "请对照标签图片确认该切片。"),
    # --- de-identification
    ("identity-left", "operator", "The second pass found identity in what would have left the region.",
     "Do not release. Look at the finding and report it as a defect of the de-identification.",
     "复核发现待外发内容中仍含身份信息。", "切勿放行。请查看发现并按脱敏缺陷上报。"),
    ("reading-loss", "operator", "De-identification removed something that the reading needs.",
     "Look at what was lost; correct the profile or the order and replay.",
     "脱敏去除了阅片所需的信息。", "请查看缺失内容,修正规则或申请单后重新处理。"),
    ("pixels-doubtful", "operator", "The picture may carry burned-in identity.",
     "Look at the marked pictures, if there are any, and have the areas blanked or, if nothing in them identifies, left; "
     "else ask the clinic for pictures without patient data, and reject the case.",
     "图像中可能含有烧录的身份信息。", "请查看标记的图像(如有),遮盖标记区域,或在确认无身份信息后保留;否则请机构提供不含患者信息的图像并退回该病例。"),
    ("slide-unsafe", "operator", "The slide's format cannot be made safe.",
     "Ask the clinic to export it as SVS, DICOM or pyramidal TIFF.", "该切片格式无法安全脱敏。", "请机构导出为 SVS、DICOM 或金字塔 TIFF。"),
    ("conversion-failed", "operator", "The configured converter made no slide that can be taken.",
     "Run the converter by hand on the slide; else ask the clinic to export it as SVS, DICOM or pyramidal TIFF.",
     "已配置的转换程序未能生成可接收的切片。", "请手动运行转换程序排查;或请机构导出为 SVS、DICOM 或金字塔 TIFF。"),
    # --- routing, delivery, return
    ("no-partner", "operator", "No partner may read this case.", "Look at `teledx route explain`; change the network file or assign a partner.",
     "没有可承接该病例的阅片机构。", "请查看 teledx route explain,修改网络文件或指定机构。"),
    ("delivery-differs", "operator", "What arrived at the partner differs from what was sent.",
     "Compare the two listings; replay the delivery.", "到达阅片机构的内容与发出的不一致。", "请比对清单后重新投递。"),
    ("binding-broken", "operator", "Order, images and report do not belong together.",
     "Do not release. Compare digests and identifiers in the audit log.",
     "申请单、影像与报告的对应关系不成立。", "切勿放行。请在审计日志中核对摘要与标识。"),
    # --- machinery
    ("worker-lost", "operator", "Three attempts ended without an outcome.",
     "Look at the worker's log for this case; replay once the cause is known.",
     "三次处理均未得到结果。", "请查看该病例的处理日志,查明原因后重新处理。"),
    ("defect", "operator", "The software failed on this case.", "Report the defect; replay once it is mended.",
     "软件处理该病例时出错。", "请上报缺陷,修复后重新处理。"),
    ("attempts-exhausted", "operator", "Something outside stayed away through every attempt.",
     "Restore the service named in the detail, then replay.", "外部服务多次重试后仍不可用。", "请恢复所述服务后重新处理。"),
)  # fmt: skip

_EXPORT_SLIDE = (
    "Export the slide as SVS, DICOM or pyramidal TIFF and drop again.", "请将切片导出为 SVS、DICOM 或金字塔 TIFF 后重新提交。"
)  # fmt: skip
# code | what the clinic does once an operator has sent it back | the same in Chinese
_BACK: dict[str, tuple[str, str]] = {
    "accession-reused": ("Give the new case an accession number of its own and drop again.", "请为新病例使用新的检查号后重新提交。"),
    "identity-mismatch": ("Find out whose files these are, correct the order or the files, and drop again.",
                          "请核实文件属于哪位患者,更正申请单或文件后重新提交。"),
    "label-mismatch": ("Compare the slide's label with the order, correct what is wrong, and drop again.",
                       "请核对切片标签与申请单,更正后重新提交。"),
    "file-damaged": ("Export the file again and drop again.", "请重新导出该文件后重新提交。"),
    "format-unknown": ("Export it as DICOM, or a slide as SVS, DICOM or pyramidal TIFF, and drop again.",
                       "请导出为 DICOM(切片可为 SVS、DICOM 或金字塔 TIFF)后重新提交。"),
    "archive-unsafe": ("Drop the files without the archive.", "请不打包,直接提交文件。"),
    "uid-conflict": ("Find out which of the two files is right and drop that one alone.", "请确认两个文件中正确的一个并单独提交。"),
    "uid-invalid": ("Export the study again from the PACS and drop again.", "请从 PACS 重新导出该检查后重新提交。"),
    "service-mismatch": ("Correct the order or the files and drop again.", "请更正申请单或文件后重新提交。"),
    "read-limit": ("Export the file again and drop again.", "请重新导出该文件后重新提交。"),
    "pixels-doubtful": ("Export the pictures without the patient's data in them and drop again.",
                        "请导出不含患者信息的图像后重新提交。"),
    "slide-unsafe": _EXPORT_SLIDE,
    "conversion-failed": _EXPORT_SLIDE,
}  # fmt: skip
_CALL = ("Call the network's operators before you drop again.", "重新提交前请联系运营人员。")


def _made(code: str, who: str, what: str, todo: str, what_zh: str, todo_zh: str) -> Reason:
    back, back_zh = (todo, todo_zh) if who == "clinic" else _BACK.get(code, _CALL)
    return Reason(
        code=code, who=who, what=what, todo=todo, what_zh=what_zh, todo_zh=todo_zh, back=back, back_zh=back_zh
    )


REASONS: dict[str, Reason] = {row[0]: _made(*row) for row in _ROWS}
