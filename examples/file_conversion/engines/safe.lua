-- What may go from a stranger's document into Typst, which is a programming language.

-- Raw code: Markdown, reStructuredText and others can carry Typst.
function RawBlock() return {} end
function RawInline() return {} end

-- Metadata other than this goes into the template's code unescaped.
function Meta(meta)
  return { title = meta.title, author = meta.author, date = meta.date }
end

-- Pictures that came with the document. A reference to any other file or address would stop Typst, and so would an
-- SVG that holds one; their text stays.
local drawable = { ["image/png"] = "png", ["image/jpeg"] = "jpg", ["image/gif"] = "gif", ["image/webp"] = "webp" }

function Image(image)
  local kind, content = pandoc.mediabag.lookup(image.src)
  if image.src:match("^data:image/") then
    kind, content = pandoc.mediabag.fetch(image.src)
  end
  if not kind or not drawable[kind] then return image.caption end
  image.src = pandoc.utils.sha1(content) .. "." .. drawable[kind]
  pandoc.mediabag.insert(image.src, kind, content)
  return image
end
