"""Names in descriptors that neither the order nor a header declares."""

import re

import pytest

from imaging.deid.known import KnownIdentity
from imaging.deid.text import clean
from imaging.deid.undeclared import is_built_like_a_name

NOBODY = KnownIdentity()

NAMES = re.findall(
    r"\w+",
    "张三丰 王伟 李娜 刘洋 陈静 杨丽 黄磊 赵敏 欧阳锋 王建国 李秀英 张桂兰 刘玉珍 陈志强 周杰伦 吴晓燕 徐志明 "
    "孙丽华 马云龙 朱国强 竺美芳 邬雪琴 励建华 李小明 王大山 张伟明 陈梦瑶 林子涵 黄晓明 诸葛亮 李明 王红 张磊 "
    "陈国富 徐阿毛 忻爱娣 邱水根",
)
# What stands by itself in descriptors of examinations, specimens, rooms and places of Yinzhou.
WORDS = re.findall(
    r"\w+",
    "胸部平扫 头颅平扫 上腹部增强 左肺 左肺上叶 右肺下叶 高密度影 白细胞 马蹄肾 石骨症 方肩 黄疸 黄斑 温度 常规 "
    "毛玻璃 左侧位 右前斜 水成像 单纯 管腔 包膜 路径 成像 颜面 康复 安静 高清 高压 牛奶 江南 骨龄 连续 甲状腺 "
    "胃窦 钼靶 正位 左前斜 双膝 腰椎 冠脉 门脉 静脉期 动脉期 延迟期 薄层 肺窗 纵隔窗 定位像 增强 单期 三期 四期 "
    "水相 同相位 弥散 白质 灰质 石蜡 冰冻 切片 白片 蜡块 根治标本 林氏 左乳 左肾 肝右叶 左半结肠 东院 江北院区 "
    "高新 白班 夜班 急诊 科研 宁波 鄞州 横溪 姜山 高桥 古林 集士港 洞桥 云龙 邱隘 五乡 东钱湖 咸祥 塘溪 瞻岐 石碶 "
    "段塘 龙观 章水 海曙 余姚 慈溪 奉化 象山 成人 成人胸部 管电压 康宁 金标 白内障 石英 方案 方向 任意 何时 安全 "
    "应力 左旋 单核 万古霉素 汤匙 包块 宁静 尚可 曲面断层 蓝光 游离 管型 鲍曼 华法林 金刚 雷公藤 姜黄 龙骨 夏季 "
    "童年 符合 白带 高血压 高热 熊胆 雷诺 石膏 温氏 方形 高龄 马鞍 史诗 田间 叶酸 叶间 叶片 程序 严重 戴镜 施行 "
    "齐整 章节",
)


def test_a_name_that_stands_by_itself_goes_and_the_examination_stays():
    written = {name: (f"胸部CT平扫 {name}", f"{name},左肺上叶结节") for name in NAMES}
    cleaned = {name: tuple(clean(text, NOBODY) for text in texts) for name, texts in written.items()}
    assert cleaned == dict.fromkeys(NAMES, ("胸部CT平扫", "左肺上叶结节"))


def test_words_of_examinations_and_places_stay():
    cleaned = {word: clean(f"CT {word} 2mm", NOBODY) for word in WORDS}
    assert cleaned == {word: f"CT {word} 2mm" for word in WORDS}


def test_no_single_character_is_a_name():
    assert not [c for c in "左白高石林江" if is_built_like_a_name(c)]


@pytest.mark.parametrize("text", ["胸部CT平扫张三丰", "张三丰胸部CT平扫", "胸部CT张三丰平扫"])
def test_what_is_read_like_a_name_known_in_latin_letters_goes_even_without_a_gap(text):
    known = KnownIdentity(names=("Zhang^Sanfeng=𠮷^㐀㐁",))
    cleaned = clean(text, known)
    assert "三丰" not in cleaned
    assert "胸部CT" in cleaned
    assert "平扫" in cleaned


def test_another_latin_name_takes_nothing_away():
    assert clean("左肺上叶结节复查", KnownIdentity(names=("Zuo^Li",))) == "左肺上叶结节复查"
