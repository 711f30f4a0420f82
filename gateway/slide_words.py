"""The words of the slide viewer, in English and Simplified Chinese, as one table; `slides.html` names them."""

from __future__ import annotations

# name | English | Chinese
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("title", "Slides", "切片"),
    ("other_language", "中文", "English"),
    ("token", "Access token", "访问令牌"),
    ("token_hint", "It is not kept on this computer.", "不会保存在本机。"),
    ("sign_in", "Sign in", "登录"),
    ("slides", "Slides of the case", "本例切片"),
    ("beside_hint", "Show this slide beside the others", "与其他切片并排显示"),
    # --- tools
    ("tools", "Tools", "工具"),
    ("whole", "Whole", "全片"),
    ("whole_hint", "The whole slide (0)", "显示整张切片(0)"),
    ("closer", "Closer (+)", "放大(+)"),
    ("away", "Further away (-)", "缩小(-)"),
    ("turn_right", "Turn right by 90° (r)", "右转 90°(r)"),
    ("turn_left", "Turn left by 90° (Shift r)", "左转 90°(Shift r)"),
    ("angle", "Angle in degrees", "角度"),
    ("together", "Together", "同步"),
    ("together_hint", "Move slides together (s)", "同步移动各切片(s)"),
    ("link", "Link", "链接"),
    ("link_hint", "Copy a link to this field of view (l)", "复制当前视野的链接(l)"),
    ("keys", "Keys", "快捷键"),
    ("close", "Close", "关闭"),
    ("magnification", "Magnification", "放大倍数"),
    ("area", "Area", "区域"),
    # --- keys
    ("key_arrows", "Arrows: move; with Shift: by a whole field", "方向键:移动;加 Shift:移动一个视野"),
    ("key_zoom", "+ and -: closer, further away; 0: the whole slide", "+、-:放大、缩小;0:全片"),
    ("key_presets", "1 to 6: 1.25×, 2.5×, 5×, 10×, 20×, 40×", "1 至 6:1.25×、2.5×、5×、10×、20×、40×"),
    ("key_turn", "r, Shift r: turn by 90°; , and . by 5°", "r、Shift r:旋转 90°;逗号、句号:旋转 5°"),
    ("key_slides", "[ and ]: the slide before, the next; b: beside", "[、]:上一张、下一张;b:并排"),
    ("key_panes", "Tab: from slide to slide; s: together; l: link", "Tab:切换切片;s:同步;l:链接"),
    # --- said by the script
    ("loading", "Loading …", "正在加载……"),
    ("unreachable", "The gateway does not answer.", "网关没有响应。"),
    ("over", "The viewing is over. Sign in to go on.", "查看已结束,请登录以继续。"),
    ("copied", "The link is copied. It opens for colleagues who may see the case.", "链接已复制,有权限的同事可打开。"),
    ("copy_this", "Copy this link:", "请复制此链接:"),
    ("none", "The case has no slides.", "本例没有切片。"),
    ("unscaled", "scale unknown", "比例未知"),
    ("missing", "The viewer is not installed on this gateway: script/environment installs it.",
     "本网关尚未安装查看器,请运行 script/environment。"),
)  # fmt: skip
LANGUAGES = ("en", "zh")
WORDS: dict[str, dict[str, str]] = {
    language: {row[0]: row[at] for row in _ROWS} for at, language in enumerate(LANGUAGES, 1)
}
SPOKEN = (
    "loading",
    "unreachable",
    "over",
    "copied",
    "copy_this",
    "none",
    "unscaled",
    "area",
    "beside_hint",
    "missing",
)
