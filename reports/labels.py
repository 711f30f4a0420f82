"""The words printed on a report, English and Chinese side by side; the reader's own text is printed as written."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reports.content import Language

Pair = tuple[str, str]

# key -> (English, Chinese)
LABELS: Mapping[str, Pair] = {
    "title.dicom": ("Remote imaging report", "远程影像诊断报告"),
    "title.slides": ("Remote pathology report", "远程病理诊断报告"),
    "section.patient": ("Patient", "患者信息"),
    "section.examination": ("Examination", "检查信息"),
    "section.signature": ("Signature", "签署信息"),
    "patient": ("Name", "姓名"),
    "sex": ("Sex", "性别"),
    "age": ("Age", "年龄"),
    "birth_date": ("Born", "出生日期"),
    "id.MR": ("Record no.", "病历号"),
    "id.national-id": ("National ID", "身份证号"),
    "id.insurance": ("Insurance no.", "医保号"),
    "id.passport": ("Passport", "护照号"),
    "id.other": ("Other no.", "其他号码"),
    "accession_number": ("Accession no.", "检查号"),
    "case": ("Case", "病例号"),
    "version": ("Version", "版本"),
    "clinic": ("Requested by", "申请机构"),
    "requesting_doctor": ("Doctor", "申请医生"),
    "laboratory": ("Scanned at", "制片扫描单位"),
    "partner": ("Read at", "诊断机构"),
    "service": ("Service", "服务项目"),
    "procedure": ("Procedure", "检查项目"),
    "body_site": ("Body site", "检查部位"),
    "modalities": ("Modality", "设备类型"),
    "examined_on": ("Examined", "检查日期"),
    "received_at": ("Received", "接收时间"),
    "clinical_question": ("Clinical question", "临床问题"),
    "specimens": ("Specimens and slides", "标本与切片"),
    "critical": ("Critical finding", "危急值"),
    "findings.dicom": ("Findings", "影像所见"),
    "findings.slides": ("Microscopic findings", "镜下所见"),
    "conclusion": ("Conclusion", "诊断意见"),
    "recommendation": ("Recommendation", "建议"),
    "codes": ("Coded", "诊断编码"),
    "change_reason": ("Why this version", "修改原因"),
    "reader": ("Reported by", "报告医生"),
    "licence": ("Licence", "执业证号"),
    "signed_at": ("Signed", "签署时间"),
    "co_signatures": ("Also signed by", "其他签署"),
    "provenance": ("Provenance", "溯源信息"),
    "study_uids": ("Study UID", "检查 UID"),
    "order_sha256": ("Order SHA-256", "申请单摘要"),
    "images_sha256": ("Images SHA-256", "影像清单摘要"),
    "report_sha256": ("Report SHA-256", "报告摘要"),
    "pseudonym": ("Read under", "阅片假名"),
    "milestones": ("Milestones", "时间节点"),
    "column.pathology_number": ("Pathology no.", "病理号"),
    "column.specimen": ("Specimen", "标本"),
    "column.block": ("Block", "蜡块"),
    "column.stain": ("Stain", "染色"),
    "column.number": ("Slide", "切片"),
    "lacking": (
        "〔U+…〕 stands for a character that this font lacks, by its Unicode number; the electronic form carries it.",
        "〔U+…〕为字库缺字,以 Unicode 编号表示;电子版数据中保留原字。",
    ),
    "signed_note": (
        "Signed electronically; the report is bound to the order and the images by the digests below.",
        "本报告经电子签署,并以下列摘要与申请单及影像绑定。",
    ),
    "not_final": ("PRELIMINARY: not for treatment decisions", "初步报告,不作为最终诊疗依据"),
    "void": ("ENTERED IN ERROR: do not use", "本报告已作废,请勿使用"),
    "sex.male": ("male", "男"),
    "sex.female": ("female", "女"),
    "sex.other": ("other", "其他"),
    "sex.unknown": ("unknown", "未知"),
    "side.left": ("left", "左侧"),
    "side.right": ("right", "右侧"),
    "side.both": ("both sides", "双侧"),
    "status.registered": ("registered", "已登记"),
    "status.preliminary": ("preliminary", "初步报告"),
    "status.final": ("final", "正式报告"),
    "status.amended": ("amended", "已修改"),
    "status.corrected": ("corrected", "已更正"),
    "status.appended": ("with addendum", "已补充"),
    "status.cancelled": ("cancelled", "已取消"),
    "status.entered-in-error": ("entered in error", "已作废"),
    "role.first-diagnosis": ("first diagnosis", "初诊"),
    "role.primary": ("first reading", "初读"),
    "role.secondary": ("second reading", "复读"),
    "role.adjudication": ("adjudication", "仲裁"),
}

AGE_UNITS: Mapping[str, Pair] = {
    "Y": ("years", "岁"),
    "M": ("months", "个月"),
    "W": ("weeks", "周"),
    "D": ("days", "天"),
}
_DICOM_AGE = re.compile(r"([0-9]{3})([DWMY])")


def pick(pair: Pair, language: Language, joint: str = " ") -> str:
    """The English or the Chinese of a pair, or Chinese first and then English where they differ."""
    english, chinese = pair
    if language == "en" or english == chinese:
        return english
    return chinese if language == "zh" else f"{chinese}{joint}{english}"


def label(key: str, language: Language, joint: str = " ") -> str:
    return pick(LABELS[key], language, joint)


def age_in_words(age: str, language: Language) -> str:
    """A DICOM age string (PS3.5 6.2, AS: `058Y`) in words; any other text as it is."""
    found = _DICOM_AGE.fullmatch(age)
    if not found:
        return age
    count, (english, chinese) = int(found[1]), AGE_UNITS[found[2]]
    return pick((f"{count} {english}", f"{count}{chinese}"), language, joint=" / ")
