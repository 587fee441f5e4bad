-- Markdown as people write it: no classes, no identifiers, no frames around text.

function Div(element)
  if element.classes:includes("note") or element.classes:includes("warning") or element.classes:includes("tip")
    or element.classes:includes("important") or element.classes:includes("caution") then
    element.identifier, element.attributes = "", {}
    if element.content[1] and element.content[1].t == "Div" then return element end
  end
  return element.content
end

function Span(element) return element.content end

function Link(element)
  element.attr = pandoc.Attr()
  return element
end

function Image(element)
  element.attr = pandoc.Attr()
  return element
end

function Figure(element) return element.content end

function Header(element)
  element.attr = pandoc.Attr()
  return element
end
