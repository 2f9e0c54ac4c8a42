-- For pandoc: makes a manual page of docs/NAME.md. Tables become definition lists, which wrap at any width, and
-- links between the pages references such as stekd(8).

local sections = { stekd = "8", stekctl = "1", ["stekd.toml"] = "5", ["stek-provider"] = "7" }

local function link(el)
  local file = el.target:gsub("#.*", "")
  local page = file:match("([^/]*)%.md$")
  if page and sections[page] then
    return { pandoc.Strong(page), pandoc.Str("(" .. sections[page] .. ")") }
  end
  return el.content
end

-- Bold is how manual pages mark what is typed as it stands.
local function code(el)
  return pandoc.Strong(el.text)
end

local function header(el)
  if el.level == 1 then
    return pandoc.walk_block(el, { Str = function(s) return pandoc.Str(s.text:upper()) end })
  end
end

-- The first column is the term and the last one says what it means; a default and what is between go in
-- parentheses behind the term: "period (default 3600)".
local function table_to_list(el)
  local columns = pandoc.utils.to_simple_table(el)
  local inlines = pandoc.utils.blocks_to_inlines
  local heads, meaning = {}, nil
  for i, head in ipairs(columns.headers) do
    heads[i] = pandoc.utils.stringify(inlines(head))
    if i > 1 and heads[i] ~= "default" then
      meaning = i
    end
  end
  local items = {}
  for _, row in ipairs(columns.rows) do
    local term, notes = inlines(row[1]), {}
    for i = 2, #row do
      local text = inlines(row[i])
      if i ~= meaning and #text > 0 then
        local required = pandoc.utils.stringify(text):match("^required")
        local label = (heads[i] ~= "" and not required) and heads[i] .. " " or ""
        table.insert(notes, { label, text })
      end
    end
    for i, note in ipairs(notes) do
      term:extend({ pandoc.Str((i == 1 and " (" or ", ") .. note[1]) })
      term:extend(note[2])
    end
    if #notes > 0 then
      term:extend({ pandoc.Str(")") })
    end
    table.insert(items, { term, { { pandoc.Para(inlines(row[meaning])) } } })
  end
  return pandoc.DefinitionList(items)
end

-- whatis(1) wants "name - what it does", and the page's own name as title.
local function name(doc)
  for i = 1, #doc.blocks - 1 do
    if doc.blocks[i].t == "Header" and pandoc.utils.stringify(doc.blocks[i]) == "Name" then
      local page, what = pandoc.utils.stringify(doc.blocks[i + 1]):match("^(%S+): (.*)%.$")
      assert(page, "under Name there must be one sentence, `name`: what it does.")
      doc.blocks[i + 1] = pandoc.Para({ pandoc.Str(page .. " - " .. what) })
      doc.meta.title = doc.meta.page
      return doc
    end
  end
  error("a manual page needs a Name")
end

return {
  { Pandoc = name },
  { Link = link, Table = table_to_list },
  { Code = code, Header = header },
}
