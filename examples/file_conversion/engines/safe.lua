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

-- Citations: nobody sent a bibliography, and "@name" in a text is mostly no citation at all.
function Cite(cite) return cite.content end

-- Typst refuses a document with a link to a place that is missing or not unique; the link's text stays.
function Pandoc(document)
  local places = {}
  local function count(element)
    local name = element.identifier
    if name and name ~= "" then places[name] = (places[name] or 0) + 1 end
  end
  document:walk {
    Header = count, Div = count, Span = count, Code = count, CodeBlock = count, Figure = count, Table = count,
    Link = count, Image = count,
  }
  return document:walk {
    Link = function(link)
      if link.target:sub(1, 1) == "#" and places[link.target:sub(2)] ~= 1 then return link.content end
    end
  }
end
