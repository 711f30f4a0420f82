"""Why a case waits, in plain words for its clinic: one table by the case's state and the situation of its next step.

Situations: `queued` (a run waits its turn), `running` (a worker has it), `resting` (it is tried again later after
something outside was away), `line-down` (the partner cannot be reached), `failed` (the software failed on it), and ``
(a person acts next, or nobody).
"""

from __future__ import annotations

from cases.reasons import REASONS

SITUATIONS = ("", "queued", "running", "resting", "line-down", "failed")

# state | situation | words | the same in Chinese; {partner}, {what}, {todo} are filled in
_ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("received", "queued", "It waits its turn to be checked.", "排队等待质检。"),
    ("received", "running", "Its files are being checked.", "正在质检文件。"),
    ("preprocessed", "queued", "It waits its turn to be de-identified.", "排队等待脱敏。"),
    ("preprocessed", "running", "Its files are being de-identified.", "正在脱敏。"),
    ("deidentified", "queued", "It waits for a hospital to be chosen.", "等待分派阅片机构。"),
    ("deidentified", "running", "A hospital is being chosen.", "正在分派阅片机构。"),
    ("deidentified", "resting", "No hospital can take it right now; it is asked again soon.",
     "目前没有可承接的阅片机构,稍后将再次分派。"),
    ("routed", "queued", "It waits its turn to be sent to {partner}.", "排队等待传送至{partner}。"),
    ("routed", "running", "It is being sent to {partner}.", "正在传送至{partner}。"),
    ("routed", "line-down", "{partner} cannot be reached; it is sent as soon as the line is back.",
     "暂时无法连接{partner},线路恢复后立即传送。"),
    ("delivered", "", "It is on the worklist of {partner} and waits for a reader.", "已列入{partner}待阅列表,等待医生领取。"),
    ("in_reading", "", "A doctor at {partner} is reading it.", "{partner}的医生正在阅片。"),
    ("reported", "queued", "The report is signed and on its way to you.", "报告已签署,正在回传。"),
    ("reported", "running", "The report is signed and on its way to you.", "报告已签署,正在回传。"),
    ("returned", "", "The report is here; please acknowledge it.", "报告已送达,请确认收到。"),
    ("acknowledged", "", "Nothing: the report was acknowledged.", "已完成:报告已确认收到。"),
    ("awaiting_clinic", "", "It waits for your answer. {what} {todo}", "等待贵机构答复。{what}{todo}"),
    ("quarantined", "", "An operator must look at it first. {what}", "需由运营人员核查。{what}"),
    ("rejected", "", "It was sent back to you. {what} {todo}", "已退回。{what}{todo}"),
    ("cancelled", "", "Nothing: it was withdrawn.", "已撤回。"),
    # --- whatever the state
    ("*", "resting", "Something it needs is away; it is tried again by itself.", "所需服务暂不可用,系统将自动重试。"),
    ("*", "failed", "The software failed on it; the operators have been told.", "软件处理出错,已通知运营人员。"),
    ("*", "", "It is between two steps.", "正在两个步骤之间。"),
)  # fmt: skip

WAITING: dict[tuple[str, str], tuple[str, str]] = {(s, why): (words, zh) for s, why, words, zh in _ROWS}


def waits_for(
    state: str, situation: str = "", *, reason_code: str | None = None, partner: tuple[str, str] = ("", "")
) -> tuple[str, str]:
    """Why a case in `state` waits, in English and Chinese; `partner` is the reading hospital's name in both."""
    ways = ((state, situation), ("*", situation), (state, ""), ("*", ""))
    row = next(WAITING[way] for way in ways if way in WAITING)
    reason = REASONS.get(reason_code or "")
    what, todo = (reason.what, reason.back) if reason else ("", "")
    what_zh, todo_zh = (reason.what_zh, reason.back_zh) if reason else ("", "")
    english = row[0].format(partner=partner[0] or "the hospital", what=what, todo=todo)
    chinese = row[1].format(partner=partner[1] or "阅片机构", what=what_zh, todo=todo_zh)
    return " ".join(english.split()), chinese.strip()
