"""Which Unicode characters the signs of Microsoft's and Adobe's symbol fonts are, by the codes that documents hold."""

# ruff: noqa: RUF001 - signs that look like letters are what this is about


def _from(first: int, signs: str) -> dict[int, str]:
    return {first + at: sign for at, sign in enumerate(signs) if sign != " "}


_WINGDINGS = {
    **_from(0x21, "✎✂✁👓🔔📖🕯☎✆✉📨📪📫📬📭📁📂📄📃📑🗄⌛⌨🖱🖲💻💾💾💾✇✍✍✌👌👍👎☜☞☝☟✋☺😐☹💣☠⚐⚑✈☼💧❄✝✞✝✠✡☪☯ॐ☸"),
    **_from(0x5E, "♈♉♊♋♌♍♎♏♐♑♒♓&&●○■□▢❑❒◆◆◆❖◆⌧⍓⌘❀✿“”"),
    **_from(0x80, "⓪①②③④⑤⑥⑦⑧⑨⑩⓿❶❷❸❹❺❻❼❽❾❿"),
    **_from(0x9E, "·•▪○◉◉◉◎○▪▫▲✦★✶✴✹✵⌖⌖⟡⌑◇✪✰🕐🕑🕒🕓🕔🕕🕖🕗🕘🕙🕚🕛"),
    **_from(0xD5, "⌫⌦◀➢▲▼◀▶▲▼←→↑↓↖↗↙↘←➔↑↓↖↗↙↘⇦⇨⇧⇩⇔⇕⇖⇗⇙⇘▭▫✗✓☒☑"),
}
_WINGDINGS_2 = {
    **_from(0x21, "✎✎✎✎✂✂☎☏📄"),
    **_from(0x3C, "💾📼"),
    **_from(0x4F, "✗✓☒☑☒☒☒⊗⊗⊗"),
    **_from(0x69, "⓪①②③④⑤⑥⑦⑧⑨⑩⓿❶❷❸❹❺❻❼❽❾❿"),
    **_from(0x96, "•●●○○◉◎ ▪■□□◻■◆◇◆◇◊"),
    **_from(0xA3, "□"),
    **_from(0xEC, "★✶✴✹"),
}
_WINGDINGS_3 = {
    **_from(0x21, "←→↑↓↖↗↙↘↔↕⇐⇒⇑⇓⇖⇗⇙⇘⇔⇕"),
    **_from(0x70, "▲▼△▽◀▶◁▷◣◢◤◥"),
    **_from(0x80, "▲▼◀▶"),
}
_WEBDINGS = {
    **_from(0x33, "◀▶▲▼⏪⏩⏮⏭⏸⏹⏺"),
    **_from(0x61, "✔🚴□🛡📦🛠■🚑ℹ"),
    **_from(0x6E, "●"),
    **_from(0x72, "✘❓"),
    **_from(0x80, "🎓"),
    **_from(0x9C, "✈"),
    **_from(0xC8, "☎"),
    **_from(0xFC, "©"),
}
_SYMBOL = {
    **_from(0x21, "!∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"),
    **_from(0xA0, "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪"),
    **_from(0xF1, "〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭"),
}
_FONTS = {
    "wingdings": _WINGDINGS,
    "wingdings 2": _WINGDINGS_2,
    "wingdings 3": _WINGDINGS_3,
    "webdings": _WEBDINGS,
    "symbol": _SYMBOL,
}


def is_symbol_font(font: str) -> bool:
    """Whether the font's letters are signs."""
    return font.strip().lower() in _FONTS


def sign(font: str, code: int) -> str:
    """The character of a code, with or without the 0xF000 that Word adds; U+FFFD for one that is not known."""
    return _FONTS.get(font.strip().lower(), {}).get(code - 0xF000 if code >= 0xF000 else code, "\ufffd")


def signs(font: str, text: str) -> str:
    """A text that is set in a symbol font."""
    return "".join(sign(font, ord(letter)) if not letter.isspace() else letter for letter in text)
