r"""RTF with the letters that its code pages, fonts and `\u` escapes mean (RTF 1.9.1), for a reader of UTF-8."""

import codecs
import re
from dataclasses import dataclass, field, replace

_CHARSETS = {
    0: "cp1252",
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    130: "johab",
    134: "gbk",
    136: "cp950",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
    254: "cp437",
    255: "cp850",
}
r"""What `\fcharset` says of a font."""
_PAGES = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850", "ansi": "cp1252"}
_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\(.)|([{}])|([\r\n]+)|([^\\{}\r\n]+)", re.DOTALL
)


@dataclass(slots=True)
class _State:
    page: str
    fallback: int = 1
    r"""How many characters stand after a `\u`, for programs that do not know it."""
    font: int | None = None


@dataclass(slots=True)
class _Reader:
    page: str = "cp1252"
    fonts: dict[int, str] = field(default_factory=dict)
    out: list[str] = field(default_factory=list)
    high: int = 0
    skip: int = 0
    decoder: codecs.IncrementalDecoder | None = None

    def letters(self, content: bytes, page: str) -> None:
        """Bytes of text in a code page; what has begun may end in the next ones."""
        if self.decoder is None:
            self.decoder = codecs.getincrementaldecoder(page)("replace")
        self._write(self.decoder.decode(content))

    @property
    def within_a_letter(self) -> bool:
        return self.decoder is not None and bool(self.decoder.getstate()[0])

    def settle(self) -> None:
        """End the text that has begun."""
        if self.decoder is not None:
            self._write(self.decoder.decode(b"", final=True))
            self.decoder = None

    def escape(self, number: int) -> None:
        r"""One `\u`: half of a pair waits for the other half."""
        code = number % 65_536
        if 0xD800 <= code < 0xDC00:
            self.high = code
        elif 0xDC00 <= code < 0xE000 and self.high:
            self._write(chr(0x10000 + (self.high - 0xD800 << 10) + code - 0xDC00))
            self.high = 0
        else:
            self._write(
                "\ufffd" if 0xD800 <= code < 0xE000 else chr(code - 0xF000 if 0xF020 <= code < 0xF100 else code)
            )

    def _write(self, text: str) -> None:
        self.out.append(re.sub(r"[\\{}]", lambda found: "\\" + found[0], text).replace("\t", "\\tab "))


def plain(content: bytes) -> str:
    """The same document without escaped letters and code pages."""
    reader = _Reader()
    stack = [_State("")]
    at = 0
    while token := _TOKEN.match(content, at):
        at = token.end()
        word, number, byte, symbol, brace, _, text = token.groups()
        state = stack[-1]
        page = state.page or reader.page
        if byte:
            if not _skipped(reader):
                reader.letters(bytes.fromhex(byte.decode()), page)
        elif text:
            _text(reader, text, page)
        elif symbol and reader.within_a_letter:  # a backslash is the second half of some letters
            reader.letters(b"\\" + symbol, page)
        else:
            reader.settle()
            if brace:
                _brace(reader, stack, brace)
            elif word == b"bin":
                at += max(int(number or 0), 0)
            elif word:
                _word(reader, state, word, int(number) if number else None)
            elif symbol and not _skipped(reader):
                reader.out.append("\\" + symbol.decode("latin-1"))
    reader.settle()
    return "".join(reader.out)


def _text(reader: _Reader, text: bytes, page: str) -> None:
    taken = min(reader.skip, len(text))
    reader.skip -= taken
    text = text[taken:]
    if reader.within_a_letter and text:
        reader.letters(text[:1], page)
        text = text[1:]
    reader.settle()
    if text:
        reader.letters(text, page)
        reader.settle()


def _brace(reader: _Reader, stack: list[_State], brace: bytes) -> None:
    reader.skip = 0
    reader.out.append(brace.decode())
    if brace == b"{":
        stack.append(replace(stack[-1]))
    elif len(stack) > 1:
        stack.pop()


def _word(reader: _Reader, state: _State, word: bytes, value: int | None) -> None:
    if word == b"u" and value is not None:
        reader.escape(value)
        reader.skip = state.fallback
    elif not _skipped(reader):
        _control(reader, state, word.decode(), value)


def _skipped(reader: _Reader) -> bool:
    if reader.skip:
        reader.skip -= 1
        return True
    return False


def _control(reader: _Reader, state: _State, word: str, value: int | None) -> None:
    if word == "uc":
        state.fallback = value or 0
        return
    if word in _PAGES:
        reader.page = _PAGES[word]
    elif word == "ansicpg" and value:
        reader.page = _known(f"cp{value}", reader.page)
        return
    elif word == "f" and value is not None:
        state.font, state.page = value, reader.fonts.get(value, "")
    elif word == "plain":
        state.page = ""
    elif word == "fcharset" and value is not None and state.font is not None:
        page = _CHARSETS.get(value, "")
        reader.fonts[state.font] = state.page = page
        return
    elif word == "cpg" and value and state.font is not None:
        reader.fonts[state.font] = _known(f"cp{value}", "")
        return
    reader.out.append(f"\\{word}{'' if value is None else value} ")


def _known(page: str, otherwise: str) -> str:
    page = {"cp10000": "mac_roman", "cp65001": "utf-8", "cp936": "gbk", "cp54936": "gb18030"}.get(page, page)
    try:
        codecs.lookup(page)
    except LookupError:
        return otherwise
    return page
