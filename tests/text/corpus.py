"""Texts that tokenizers stumble over."""
# ruff: noqa: RUF001

from pathlib import Path

ROOT = Path(__file__).parents[2]

CODE = [
    "def fibonacci(n):\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)\n",
    "for (int i = 0; i <= 0xFF; ++i) { a[i] <<= 3; }\t// 12345678\r\n",
    'print(f"{x!r:>{width}}")\r\r\n\n\n\tif x:\n\t\tpass',
    "SELECT * FROM t WHERE a='it''s' AND b>=1e-9;--x",
    "<div class='x'>&nbsp;</div>\n" * 3,
]
SCRIPTS = [
    "Größe, naïve, œuvre, Ångström, İstanbul, ß",
    "Съешь же ещё этих мягких французских булок",
    "快速的棕色狐狸跳过了懒狗。他说：“你好！”",
    "いろはにほへと ちりぬるを カタカナ ﾊﾝｶｸ",
    "다람쥐 헌 쳇바퀴에 타고파",
    "נשיקה מוּצלחת العربية ١٢٣ ۴۵۶",
    "हिन्दी में लिखा हुआ १२३ ตัวอย่างภาษาไทย",
    "ΑαΒβ Ωω ᾳ ΐ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𒀀 ⅫⅣ ½ ² ①",
]
EMOJI = [
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea",
    "\u2764\ufe0f \u263a\ufe0f 1\ufe0f\u20e3 \U0001f3f3\ufe0f\u200d\U0001f308\U0001f3f4\u200d\u2620\ufe0f",
    "a😀b 😀😀  😀",
]
SPACES = [
    " ", "  ", "   x", "x   ", " \n ", "\n\n\n", "\r\n\r\n x", "\t\t \tx", "a\u00a0b\u2003c\u3000d\u200be",
    "\u2028x\u2029",
    "x \n\n  y", " \u0085 ", "\ufeffx", "\x00\x01\x7f", "\v\f", "a\n b\r c",
]  # fmt: skip
COMPOSED = [
    "cafe\u0301 A\u030a o\u0308\u0323", "\u1112\u1161\u11ab\u1100\u1173\u11af", "\u212b \u2126 \u1e9b\u0323",
    "e\u0301\u0301 \u0301x", "\uf900 \u0958",
]  # fmt: skip
ENGLISH = [
    "I'm you're he'll THEY'VE it'S don't 'twas ''s",
    "O'Donnell 'Date 'Total O'Donnell 'Date 'Total 'data 'total",
    "1234567890 3.14159 1,000,000 v2.0.1",
    "Hello, world!!! ... --- ??? a.b.c a_b",
    "x" * 300,
    "!" * 100 + "\n" * 10,
    "",
    "ordinary words, and then some more of them",
]
SPECIAL = ["<|im_start|>user\nHi<|im_end|>\n", "a<|endoftext|>b", "<|im_end", "<|im_end|><|im_end|>", " <|im_start|> x"]

TEXTS = CODE + SCRIPTS + EMOJI + SPACES + COMPOSED + ENGLISH
FILES = [path.read_text() for path in [*sorted(ROOT.glob("python/qwen3moe/*.py"))[:8], ROOT / "README.md"]]
