"""What is told about a conversion: why it failed, and what its result could not hold. Codes are stable."""

from .catalogue import MIB

MAX_RESULT_BYTES = 64 * MIB

REASONS = {
    "unreadable": "The file could not be converted: it is damaged, or uses something this service cannot read.",
    "encrypted": "The file is protected by a password; remove it and try again.",
    "not-well-formed": "The file breaks the rules of its format; a program that checks it says where.",
    "no-such-shape": "The data cannot be written in the target's form: a table needs rows, TOML no null in lists.",
    "no-sound": "The file has no sound to convert.",
    "no-picture": "The file has no moving picture to convert.",
    "no-text": "The PDF holds no text, only pictures of it.",
    "too-many-pages": "The file has more pages than fit in one image; split it and try again.",
    "too-many-pixels": "The image or one of its frames is larger than this service accepts.",
    "too-many-rows": "The table is larger than this service accepts; split it and try again.",
    "too-many-columns": "The table has more than the 16,384 columns that XLSX can hold.",
    "cell-too-long": "A cell has more than the 32,767 characters that XLSX can hold.",
    "too-wide": "The image has more pixels in a row or column than the target format can hold.",
    "too-much-memory": "Converting the file takes more memory than this service allows; try a smaller one.",
    "took-too-long": "Converting the file takes longer than this service allows; try a smaller one.",
    "result-too-large": f"The converted file is larger than {MAX_RESULT_BYTES // MIB} MiB; try a smaller one.",
    "empty-result": "Nothing is left of the file in the target format: it has no content that could be converted.",
    "crashed": "The file could not be converted: it made the converter stop.",
}

NOTES = {
    "styles-left-out": "Fonts, colours and places of the subtitles are not in the result.",
    "nulls-left-out": "Members that are null are not in the result, since TOML has no null.",
    "tracks-left-out": "The target holds one sound track: the one that players begin with.",
    "subtitles-left-out": "Subtitles that the target cannot hold are not in the result.",
    "sound-left-out": "The target holds no sound.",
    "cover-left-out": "The cover picture is not in the result, since the target cannot hold it.",
    "hdr-mapped": "The film's high dynamic range was mapped to the usual one, since the target cannot hold it.",
    "first-frame-only": "The target holds one picture: the first frame is in it, the rest of the animation is not.",
    "metadata-left-out": "What the file says about itself (date, camera, author) is not in the result.",
    "eight-bits": "The picture had 16 bits for each colour and has 8 now.",
    "pictures-left-out": "The document's pictures are not in the result, which is text alone.",
    "texts-like-formulas": "Some texts begin with =, +, - or @; they are unchanged, and some programs would run them.",
    "sheets-left-out": "The target holds one table: the first sheet with cells is in it, the others are not.",
    "values-only": "The values of the cells were carried over; formulas, formats, charts and macros were not.",
    "references-left-out": "Pictures that the file only names, by a file or an address, are not in the result.",
}
