"""Which bytes are which letters, where a file says so itself; nothing is guessed."""

import codecs
import re

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_DECLARED = {
    "html": re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w-]{2,30})", re.IGNORECASE),
    "xml": re.compile(rb"^\s*<\?xml[^>]{0,200}encoding\s*=\s*[\"']([\w-]{2,30})"),
}
_DECLARED["svg"] = _DECLARED["xml"]
_SINGLE_BYTES = re.compile(
    r"(windows-?|cp)125[0-8]|iso-?8859-?\d{1,2}|latin-?\d|koi8-?[ru]|shift_jis|euc-(jp|kr)|gbk?|gb2312|gb18030|big5|us-ascii"
)


def decoded(content: bytes, kind: str = "") -> str:
    """The text: by its byte order mark, by what an HTML or XML file (`kind`) declares, else UTF-8.

    Raises `UnicodeDecodeError`.
    """
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    try:
        return content.decode()
    except UnicodeDecodeError:
        declared = _DECLARED[kind].search(content[:1024]) if kind in _DECLARED else None
        name = declared[1].decode().lower() if declared else ""
        if not _SINGLE_BYTES.fullmatch(name):
            raise
        return content.decode("windows-1252" if name in ("iso-8859-1", "latin1", "us-ascii") else name)
