"""What routing says about a decision, in English and Simplified Chinese, as one table. No text may name a patient."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Said:
    code: str
    en: str
    zh: str


# code | English | Chinese; {…} are filled in by `said`
_ROWS: tuple[tuple[str, str, str], ...] = (
    # --- why it was chosen
    ("rule", "rule '{rule}' is the first that fits", "首个匹配的规则为“{rule}”"),
    ("preferred", "it is no. {place} in the order of rule '{rule}'", "在规则“{rule}”中排第 {place} 位"),
    ("share", "its share is {weight} of {total}, and it was sent {today} today",
     "分配比例为 {weight}/{total},今日已分派 {today} 例"),
    ("stands-in", "it stands in: nobody in rule '{rule}' can read it better",
     "规则“{rule}”所列机构均不更合适,由其代为承接"),
    ("soonest-free", "rule '{rule}' prefers nobody", "规则“{rule}”未指定优先机构"),
    ("only-one", "no other partner may read it", "仅此机构可承接"),
    ("wish-kept", "the order wishes it", "申请单指定该机构"),
    ("wish-not-kept", "the wished partner cannot read it, or not in time", "申请单指定的机构无法承接或无法按时完成"),
    ("wish-overruled", "rule '{rule}' does not follow wishes", "规则“{rule}”不采纳指定机构"),
    ("wish-unknown", "the wished partner is not in the network", "申请单指定的机构不在本网络内"),
    ("due", "due by {due} (service level '{level}')", "应于 {due} 前完成(时限“{level}”)"),
    ("all-late", "nobody can be in time; this is the soonest", "所有机构均无法按时完成,此为最早者"),
    ("all-full", "everybody is full; the case waits in the best queue", "所有机构均已满额,病例在最合适的队列中等待"),
    # --- capacity
    ("open-now", "open now", "当前在阅片时间内"),
    ("closed-now", "closed now", "当前不在阅片时间内"),
    ("never-open", "has no reading hours ahead", "近期无阅片时间"),
    ("queue", "{items} of at most {at_once} open, {stat} of them stat",
     "待阅 {items} 例(上限 {at_once}),其中急诊 {stat} 例"),
    ("in-time", "expected by {finish}, in time", "预计 {finish} 完成,符合时限"),
    ("late", "expected by {finish}, too late", "预计 {finish} 完成,超出时限"),
    ("full", "full: at most {at_once} at once, {today} of {per_day} sent today",
     "已满额:同时上限 {at_once},今日 {today}/{per_day}"),
    ("down", "its line is down at present", "当前线路中断"),
    # --- why it cannot read the case
    ("does-not-read", "does not read {service}", "不承接 {service}"),
    ("not-accepting", "takes no new cases", "暂停接收新病例"),
    ("declined", "gave this case back", "已谢绝该病例"),
    ("requests-itself", "is the requester itself", "即为申请机构"),
    ("not-in-rule", "is not in rule '{rule}', which lets nobody stand in", "不在规则“{rule}”之列,且该规则不允许替代"),
    # --- why it comes after the one chosen
    ("behind-down", "next because its line is down", "因线路中断而靠后"),
    ("behind-late", "next because it would be late", "因无法按时完成而靠后"),
    ("behind-never", "next because it has no reading hours ahead", "因近期无阅片时间而靠后"),
    ("behind-later", "next because it would be later still", "因完成时间更晚而靠后"),
    ("behind-full", "next because it is full", "因已满额而靠后"),
    ("behind-wish", "next because the order wishes another", "因申请单指定其他机构而靠后"),
    ("behind-listed", "next because the rule prefers another", "因规则优先其他机构而靠后"),
    ("behind-place", "next in the rule's order or shares", "按规则顺序或分配比例靠后"),
    ("behind-name", "equal; the names decide", "条件相同,按名称排序"),
)  # fmt: skip

WORDS: dict[str, tuple[str, str]] = {code: (en, zh) for code, en, zh in _ROWS}


def said(code: str, **parts: object) -> Said:
    """The text of `code` in both languages. Raises KeyError for a code or a part that does not exist."""
    en, zh = WORDS[code]
    return Said(code=code, en=en.format(**parts), zh=zh.format(**parts))
