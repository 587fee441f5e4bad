-- In plain text a picture is what is said about it.
if FORMAT == "plain" then
  function Image(image) return image.caption end
end

-- A title for the formats that require one: the document's own, or its first heading, or a word.

function Pandoc(document)
  local title = document.meta.title
  if FORMAT:match("epub") then
    if not title or pandoc.utils.stringify(title) == "" then
      for _, block in ipairs(document.blocks) do
        if block.t == "Header" and pandoc.utils.stringify(block) ~= "" then
          title = pandoc.MetaInlines(block.content)
          break
        end
      end
      document.meta.title = title and pandoc.utils.stringify(title) ~= "" and title or pandoc.MetaString("Document")
    end
  elseif FORMAT:match("html") and not title then
    document.meta.pagetitle = pandoc.MetaString("Document")
  end
  return document
end
