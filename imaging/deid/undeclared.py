"""Chinese names that nobody declared: not in the order, not in a header's name, and yet written into a descriptor.

Two ways to know one. It is read like a name that is known in Latin letters alone (Zhang^Sanfeng, and
张三丰 in the text). Or it stands by itself, between spaces or signs, and is built like a name: a surname, then one or
two characters that names are made of and reports are not ("胸部CT平扫 张三丰"). A name written without a gap into other
Chinese words is not recognised unless it is known; nor is one character ever taken for a name.
"""

from __future__ import annotations

import re
from functools import lru_cache

from imaging.deid.known import KnownIdentity
from imaging.names import compare

# Surnames of one character by frequency, and of two.
SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔"
    "钟谭陆汪范石廖贾夏韦付傅方邹熊孟秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔汤温康施文牛樊葛邢安齐"
    "庞颜庄聂章鲁岳翟殷詹欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华"
    "倪应竺励乐虞楼屠戚邬忻干白高"
)
_DOUBLE = frozenset(
    re.findall(r"\w+", "欧阳 上官 司马 诸葛 夏侯 皇甫 尉迟 公孙 慕容 令狐 司徒 东方 端木 长孙")
)
# What given names are made of: characters that are rare in descriptors of examinations and specimens.
_GIVEN = frozenset(
    "伟芳娜敏秀英丽强磊军洋勇艳杰娟涛超霞刚桂玉兰红梅建国燕春辉鹏飞宇浩欣怡婷雪琳佳嘉俊峰凯龙斌宁晨旭辰轩梓涵萱诗"
    "雨若曦馨博思彤瑞泽昊铭毅诚信义德福贵荣富寿庆祥林松柏森江河湖海泉源霄雷霜星晓晖煌炎焕灿晴静莉莲菊珍珠琴瑛琪瑶璐"
    "蓉蕾薇芬芝萍莹莺萌倩婉婕媛嫣妍妮姗娇娅慧惠淑贤贞芸蓓翠彩凤凰仙云香梦菲菁茜茵蕙兴邦卫东山川永志忠孝仁礼智勤俭"
    "学武文彬彪豪杨健康乐天佑维振栋梁材坤乾坚恒宏鸿洪达翔腾跃进胜利奇良友善亮威虎豹骏驰骥尧舜禹汉唐宋晋楚吴越鲁燕"
    "小大明阿美爱华冠志元正文平安长春夏秋冬喜凡凯卓娣伦帆帅庭廷彦怀成方昌易星晶朝本杉杏杭枫柳桃毛民沛沁波洁浙润涌淳清"
    "漫灵珂珏璟甜男益真石竹笑筠素紫羽翰舒艺芯若茗荷蓝蝶言语诺谦远逸遥邈采铃雁雯霖青韵顺颖飘魁麟黎洋静玲子亦奕弈弘"
    "三四五六丰伯仲叔季贞祖宗耀光启承继先贤根木水生火土金银宝珊瑚玲珑琼瑾瑜璇璟钰锋钢铁铮锐锦"
)
# With one given character there is less to go by: only those that hardly anything but a name ends in.
_SINGLE = frozenset(
    "伟芳娜敏丽静洋明红华平波磊军勇艳杰娟涛超霞燕鹏宇浩欣怡婷雪琳佳俊峰凯斌晨旭轩涵萱曦馨彤瑞昊铭毅莉琴瑶璐蕾薇莹倩媛妍慧淑梅刚"
)
# Built like names, and none.
_WORDS = frozenset(
    re.findall(
        r"\w+",
        "安宁 江海 金刚 高峰 高敏 高丽 石英 石林 左旋 白雪 白金 马鞍 龙胆 方山 东海 高强 高超 高毅 马丽 "
        "文雅 路径 关联 应力 应变 白云石 白银 高铁 高智 高利 高云 安全 康乐 康健 温水 汤水 石水 江水 田径 "
        "高三 高四 万三 单三 单四 马山 龙山 高水平 成三 成四 石山 江山 江东 江北 高德 石膏 龙凤 文学 史学 "
        "武威 康德 安康 安静 汪洋 宁静 宁波 文明 高明 金华 高平 安平 成华 江华 武平 华明 龙华",
    )
)
_GAP_BEFORE, _GAP_AFTER = r"(?<![\u3400-\u9fff])", r"(?![\u3400-\u9fff])"
_STANDING_ALONE = re.compile(rf"{_GAP_BEFORE}[\u3400-\u9fff]{{2,4}}{_GAP_AFTER}")
_HAN_RUN = re.compile(r"[\u3400-\u9fff]{2,}")
_LATIN = re.compile(r"[A-Za-z]{2,}")
_LONGEST = 4


def spans(text: str, known: KnownIdentity) -> list[tuple[int, int, str]]:
    """Where `text` holds a Chinese name that nobody declared: start, end and "name", in order."""
    if not _HAN_RUN.search(text):
        return []
    found = [
        (m.start(), m.end(), "name") for m in _STANDING_ALONE.finditer(text) if is_built_like_a_name(m[0])
    ]
    groups = (group for name in (*known.names, *known.people) for group in name.split("="))
    latin = tuple(group for group in groups if _LATIN.search(group))
    if latin:
        found += _read_alike(text, latin)
    return sorted(found)


def is_built_like_a_name(token: str) -> bool:
    """Whether two to four Chinese characters are a surname and given names, and no word that is built alike."""
    if token in _WORDS or len(token) < 2:
        return False
    if token[:2] in _DOUBLE:
        return len(token) > 2 and all(c in _GIVEN for c in token[2:])
    surname, given = token[0], token[1:]
    if surname not in SURNAMES or len(given) > 2:
        return False
    return all(c in (_GIVEN if len(given) == 2 else _SINGLE) for c in given)


def _read_alike(text: str, latin: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Chinese characters that are read like one of the names that are known in Latin letters."""
    found = []
    for run in _HAN_RUN.finditer(text):
        at, end = run.span()
        while at < end - 1:
            length = next(
                (n for n in range(min(_LONGEST, end - at), 1, -1) if _is_read_as(text[at : at + n], latin)), 0
            )
            if length:
                found.append((at, at + length, "name"))
            at += length or 1
    return found


@lru_cache(maxsize=4096)
def _is_read_as(han: str, latin: tuple[str, ...]) -> bool:
    if han[0] not in SURNAMES and han[:2] not in _DOUBLE:
        return False
    return any(compare(name, han, None) == "matches" for name in latin)
