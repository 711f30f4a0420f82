"""The words of the upload page, in English and Simplified Chinese, as one table; `upload.html` names them in braces."""

from __future__ import annotations

LANGUAGES = ("en", "zh")

# name | English | Chinese
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("title", "Hand in a case", "提交病例"),
    ("other_language", "中文", "English"),
    ("token", "Access token", "访问令牌"),
    ("token_hint", "It is not kept on this computer.", "不会保存在本机。"),
    ("sign_in", "Sign in", "登录"),
    # --- files
    ("files_title", "Files", "文件"),
    ("files", "Files", "选择文件"),
    ("folder", "Or a whole folder", "或选择整个文件夹"),
    ("consent_file", "Signed consent (its digest is sent, not the document)", "知情同意书(仅提交摘要,不上传原件)"),
    ("signer", "Who signed", "签署人"),
    ("relation", "Relation to the patient", "与患者关系"),
    # --- patient
    ("patient_title", "Patient", "患者"),
    ("mr", "Record number", "病历号"),
    ("national_id", "National ID (if known)", "身份证号(如有)"),
    ("name", "Name", "姓名"),
    ("name_latin", "Name in Latin letters, as on the images (if any)", "影像上的拼音姓名(如有)"),
    ("sex", "Sex", "性别"),
    ("birth_date", "Birth date", "出生日期"),
    # --- order
    ("order_title", "Order", "申请"),
    ("accession_number", "Accession number", "检查号"),
    ("service", "Service", "服务"),
    ("priority", "Priority", "优先级"),
    ("purpose", "Purpose", "目的"),
    ("procedure", "Procedure", "检查项目"),
    ("body_site", "Body site", "部位"),
    ("side", "Side", "侧别"),
    ("clinical_question", "Clinical question", "临床问题"),
    ("history", "History", "病史"),
    ("allergies", "Allergies, one a line", "过敏史,每行一项"),
    ("requesting_doctor", "Requesting doctor", "申请医生"),
    ("callback_name", "Whom to call back", "联系人"),
    ("callback_phone", "Telephone", "联系电话"),
    ("wished_partner", "Wished hospital", "意向阅片机构"),
    ("none", "none", "无"),
    # --- slides
    ("slides_title", "Slides, as their labels say", "切片(与标签一致)"),
    ("specimen_description", "Specimen", "标本"),
    ("file", "File", "文件"),
    ("pathology_number", "Pathology number", "病理号"),
    ("specimen", "Specimen number", "标本编号"),
    ("block", "Block", "蜡块"),
    ("stain", "Stain", "染色"),
    # --- choices
    ("stat", "stat", "急诊"),
    ("urgent", "urgent", "加急"),
    ("routine", "routine", "常规"),
    ("diagnosis", "diagnosis", "诊断"),
    ("check", "check of our diagnosis", "复核本院诊断"),
    ("second_opinion", "second opinion", "第二诊断意见"),
    ("female", "female", "女"),
    ("male", "male", "男"),
    ("other", "other", "其他"),
    ("unknown", "unknown", "未知"),
    ("left", "left", "左"),
    ("right", "right", "右"),
    ("both", "both", "双侧"),
    ("self", "the patient", "本人"),
    ("parent", "parent", "父母"),
    ("guardian", "guardian", "监护人"),
    ("spouse", "spouse", "配偶"),
    ("child", "child", "子女"),
    # --- what happens
    ("submit", "Hand in", "提交"),
    ("again", "Go on with the interrupted upload", "继续未完成的上传"),
    ("hashing", "Computing digests:", "正在计算摘要:"),
    ("sending", "Sending:", "正在上传:"),
    ("waiting", "All is sent; the region is checking it. Drop", "已全部上传,区域正在核验。提交号"),
    ("received", "Received. Case", "已接收。病例号"),
    ("incomplete", "Choose the files and the signed consent.", "请选择文件和知情同意书。"),
    ("same_files", "Choose the same files again; these are missing:", "请重新选择相同的文件,缺少:"),
    ("unreachable", "The line broke. Nothing is lost: go on with the button below.",
     "连接中断,已上传内容不会丢失,请点击下方按钮继续。"),
)  # fmt: skip

WORDS: dict[str, dict[str, str]] = {
    language: {row[0]: row[1 + place] for row in _ROWS} for place, language in enumerate(LANGUAGES)
}
# What the scripts say by themselves.
SPOKEN = ("none", "hashing", "sending", "waiting", "received", "incomplete", "same_files", "unreachable")
