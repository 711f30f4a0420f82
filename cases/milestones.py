"""Every milestone that a case's log may hold: its meaning, and the leg of the turnaround that begins with it.

The events of `cases.states.CASE` are milestones by their own names; the others record what changes no state.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

# The leg goes on as before, or the case is back in the state from which it was set aside.
GOES_ON = None
AS_BEFORE = "*before*"
# The case has come to rest; only an addendum or a correction opens it again.
AT_REST = "*rest*"


@dataclass(frozen=True, kw_only=True)
class Milestone:
    """One row of the log: `state` is the case's state from then on, `at` the time by the clock of whoever did it."""

    name: str
    state: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class MilestoneKind:
    """`starts`: the leg (`cases.turnaround.LEGS`) that begins here and ends the one before, or a word above."""

    name: str
    what: str
    what_zh: str
    starts: str | None


# name | meaning | the same in Chinese | the leg that begins
_ROWS: tuple[tuple[str, str, str, str | None], ...] = (
    # --- from the clinic into the region
    ("dropped", "The last file of the drop arrived.", "提交的最后一个文件到达", "receipt"),
    ("received", "The region holds every file, verified.", "区域已接收并核验全部文件", "preprocess"),
    ("receipt_issued", "The clinic was given its receipt.", "已向机构出具回执", GOES_ON),
    # --- through the house
    ("preprocessed", "Every byte was read and fits the order.", "全部数据已读取并与申请单相符", "deidentify"),
    ("deidentified", "What may leave the region is ready.", "脱敏数据已就绪", "route"),
    ("routed", "A partner was chosen.", "已选定阅片机构", "deliver"),
    ("delivered", "The partner holds every file, verified.", "阅片机构已收到并核验全部文件", "worklist"),
    # --- reading
    ("claimed", "A reader took the case.", "医生已领取", "reading"),
    ("preliminary", "A preliminary report was written.", "已出具初步报告", GOES_ON),
    ("discrepancy", "Two readings differ; a third decides.", "两次阅片意见不一致,需第三人裁定", GOES_ON),
    ("reported", "The report was signed.", "报告已签署", "return"),
    ("released", "The reader put the case back on the worklist.", "医生退回待阅列表", "worklist"),
    (
        "lease_expired",
        "The reader fell silent; the case is back on the worklist.",
        "领取超时,退回待阅列表",
        "worklist",
    ),
    ("declined", "The partner declined the case.", "阅片机构谢绝", "route"),
    # --- back to the clinic
    (
        "returned",
        "The report is at the clinic, under the real name.",
        "报告已以真实姓名送达机构",
        "acknowledgement",
    ),
    ("report_fetched", "The clinic's system fetched the report.", "机构系统已取走报告", GOES_ON),
    ("acknowledged", "A named person acknowledged the report.", "机构人员已确认收到报告", AT_REST),
    ("addendum", "The reader added to the signed report.", "医生补充了已签署的报告", "return"),
    ("correction", "The reader corrected the signed report.", "医生更正了已签署的报告", "return"),
    # --- aside
    ("asked", "The clinic was asked something.", "已向机构提出问题", "clinic"),
    ("answered", "The clinic answered.", "机构已答复", "preprocess"),
    ("quarantined", "The case was set aside for a person to look.", "病例已隔离,等待人工核查", "quarantine"),
    (
        "pixels_left",
        "A person looked at the doubtful pictures: nothing in them identifies.",
        "人工核查图像:其中无身份信息",
        GOES_ON,
    ),
    (
        "pixels_blanked",
        "A person looked at the doubtful pictures and had areas of them blanked.",
        "人工核查图像:已遮盖可疑区域",
        GOES_ON,
    ),
    ("replayed", "A person let the case go on.", "人工核查后继续处理", AS_BEFORE),
    ("rejected", "The material went back to the clinic with advice.", "材料已退回机构并附建议", AT_REST),
    ("cancelled", "The clinic withdrew the case.", "机构已撤回病例", AT_REST),
    # --- critical findings
    ("critical_raised", "The reader raised a critical finding.", "医生提出危急值", GOES_ON),
    ("critical_notified", "The clinic was told of the critical finding.", "已向机构通报危急值", GOES_ON),
    ("critical_read_back", "The clinic read the critical finding back.", "机构已复述危急值", GOES_ON),
    ("critical_closed", "The critical finding was closed.", "危急值已关闭", GOES_ON),
)

MILESTONES: dict[str, MilestoneKind] = {
    name: MilestoneKind(name=name, what=what, what_zh=what_zh, starts=starts)
    for name, what, what_zh, starts in _ROWS
}
