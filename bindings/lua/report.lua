-- report.lua: sq.report: what a sweep found, as one HTML page that needs no other file, and its figures as SVG and PNG. The
-- page is text and pictures: no script runs in it.

local sq = require "seqrt"
local api = require "seqrt.api"
local sys = require "seqrt.sys"

local WIDTH, HEIGHT = 460, 320 -- pixels of one pair of axes

local STYLE = [[
:root { color-scheme: light dark; --text: #1c1e21; --soft: #656b73; --line: #dfe2e6; --page: #fff; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e6e9; --soft: #9aa1a9; --line: #363b41; --page: #16181b; --bad: #f2867e } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 62rem;
  margin: 3rem auto; padding: 0 1.5rem }
h1 { font-size: 1.8rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem }
p.lead { color: var(--soft); margin: .25rem 0 0 }
figure { margin: 0; padding: 1rem; background: #fff; border: 1px solid var(--line); border-radius: 6px; overflow-x: auto }
figure svg { display: block; max-width: 100%; height: auto; margin: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem 1.2rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--soft); font-weight: 500 } .number { text-align: right } td.failed { color: var(--bad) }
.scroll { overflow-x: auto } code { font-size: .9em; overflow-wrap: anywhere }]]

local function fail(text, ...) require("seqrt.dataset").fail("[report] " .. text:format(...)) end

-- --- texts --------------------------------------------------------------------------------------------------------

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

-- A value as HTML shows it: no markup of its own, no control characters, UTF-8.
local function html(value)
  local text = tostring(value)
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  return (text:gsub("%c+", " "):gsub("[&<>\"']", ENTITIES))
end

local function value_text(value)
  if type(value) == "table" then
    local words = {}
    for i, each in ipairs(value) do words[i] = value_text(each) end
    return table.concat(words, ", ")
  end
  return math.type(value) == "float" and ("%.4g"):format(value) or tostring(value)
end

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- --- what is in the results -----------------------------------------------------------------------------------------

local function is_curve(value)
  if type(value) ~= "table" or getmetatable(value) or #value < 2 then return false end
  for _, each in ipairs(value) do if type(each) ~= "number" then return false end end
  return true
end

-- The names in results by kind, without those swept over: numbers, and lists of numbers.
local function kinds(results, over)
  local swept, numbers, curves = {}, {}, {}
  for _, name in ipairs(over) do swept[name] = true end
  for _, result in ipairs(results) do
    for name, value in pairs(result) do
      if type(name) == "string" and not swept[name] then
        if type(value) == "number" then numbers[name] = true end
        if is_curve(value) then curves[name] = true end
      end
    end
  end
  return sorted(numbers), sorted(curves)
end

-- The results in groups that differ in `x` alone: {label, results...} in order.
local function groups(results, over, x)
  local list, by_label = {}, {}
  for _, result in ipairs(results) do
    local words = {}
    for _, name in ipairs(over) do
      if name ~= x then
        local value = result[name]
        words[#words + 1] = type(value) == "string" and value or name .. " = " .. value_text(value)
      end
    end
    local label = table.concat(words, ", ")
    if not by_label[label] then
      by_label[label] = { label = label }
      list[#list + 1] = by_label[label]
    end
    table.insert(by_label[label], result)
  end
  return list
end

local function check_name(what, name, names)
  if not name then return end
  for _, each in ipairs(names) do if each == name then return end end
  local near = api.nearest(name, names)
  fail("%s: no result has '%s'%s", what, name, near and (": did you mean '%s'?"):format(near) or "")
end

-- The swept option that is a number, the last such; else nil.
local function number_option(results, over)
  for i = #over, 1, -1 do
    local all = #results > 0
    for _, result in ipairs(results) do all = all and type(result[over[i]]) == "number" end
    if all then return over[i] end
  end
end

local function preferred(names)
  for _, name in ipairs { "accuracy", "loss" } do
    for _, each in ipairs(names) do if each == name then return name end end
  end
  return names[1]
end

-- --- figures ------------------------------------------------------------------------------------------------------------

local function draw_points(list, x, y)
  local fig = sq.plot.figure { width = WIDTH * 1.5, height = HEIGHT * 1.2 }
  local axes, labelled = fig:axes(1, 1), false
  for _, group in ipairs(list) do
    local points = {}
    for _, result in ipairs(group) do
      if type(result[y]) == "number" then points[#points + 1] = { result[x], result[y] } end
    end
    table.sort(points, function(a, b) return a[1] < b[1] end)
    local xs, ys = {}, {}
    for i, point in ipairs(points) do xs[i], ys[i] = point[1], point[2] end
    if #xs > 0 then
      axes:line(xs, ys, { label = group.label ~= "" and group.label or nil, marker = "o" })
      labelled = labelled or group.label ~= ""
    end
  end
  axes:set { xlabel = x, ylabel = y }
  if labelled then axes:legend() end
  return fig
end

-- A pair of axes for each group, a line for each of its runs.
local function draw_curves(list, x, name)
  local fig = sq.plot.figure { cols = #list, width = WIDTH * #list, height = HEIGHT }
  for i, group in ipairs(list) do
    local axes, drawn = fig:axes(1, i), 0
    for _, result in ipairs(group) do
      if is_curve(result[name]) then
        axes:line(result[name], { label = x and ("%s = %s"):format(x, value_text(result[x])) or nil })
        drawn = drawn + 1
      end
    end
    axes:set { title = group.label, xlabel = "step", ylabel = name }
    if x and drawn > 1 then axes:legend() end
  end
  return fig
end

-- The figure as SVG and PNG at `stem`, and its SVG as a part of a page, where names of parts must differ between figures.
local function keep(fig, stem, number)
  fig:save(stem .. ".png")
  fig:save(stem .. ".svg")
  local text, why = sys.read(stem .. ".svg")
  if not text then fail("%s", why) end
  local mark = ("f%d-"):format(number)
  text = text:gsub("^<%?xml.-%?>%s*", ""):gsub(' id="', ' id="' .. mark):gsub('href="#', 'href="#' .. mark)
  return (text:gsub("url%(#", "url(#" .. mark))
end

-- --- the page -----------------------------------------------------------------------------------------------------------

local function facts_table(facts)
  local rows = {}
  for _, fact in ipairs(facts) do
    if fact[2] ~= nil then
      rows[#rows + 1] = ("<tr><th>%s</th><td>%s</td></tr>"):format(html(fact[1]), html(value_text(fact[2])))
    end
  end
  return '<div class="scroll"><table>' .. table.concat(rows, "\n") .. "</table></div>"
end

local function result_table(results, over, numbers)
  local columns = { table.unpack(over) }
  table.move(numbers, 1, #numbers, #columns + 1, columns)
  local head, rows = {}, {}
  for i, name in ipairs(columns) do
    head[i] = ("<th%s>%s</th>"):format(i > #over and ' class="number"' or "", html(name))
  end
  for r, result in ipairs(results) do
    local cells = {}
    for i, name in ipairs(columns) do
      local value = result[name]
      local kind = type(value) == "number" and ' class="number"' or ""
      if i <= #over or not result.error then
        cells[#cells + 1] = ("<td%s>%s</td>"):format(kind, value == nil and "" or html(value_text(value)))
      end
    end
    if result.error then
      cells[#cells + 1] = ('<td class="failed" colspan="%d">%s</td>'):format(math.max(#numbers, 1), html(result.error))
    end
    rows[r] = "<tr>" .. table.concat(cells) .. "</tr>"
  end
  return ('<div class="scroll"><table><tr>%s</tr>\n%s</table></div>'):format(table.concat(head), table.concat(rows, "\n"))
end

local function settings(results, over)
  local swept, facts = {}, {}
  for _, name in ipairs(over) do swept[name] = true end
  for _, name in ipairs(sorted(results.options or {})) do
    local value = results.options[name]
    facts[#facts + 1] = { swept[name] and name .. " (swept over)" or name, value }
  end
  return facts
end

local function environment(results)
  local info, record = sq.info(), nil
  for _, run in ipairs(results.runs or {}) do record = record or run.record end
  record = record or {}
  local facts = { { "command", record.command }, { "started", record.started } }
  for _, name in ipairs { "seqrt", "lua", "blas", "isa", "cpu", "threads" } do
    local value = record[name]
    if value == nil then value = name == "seqrt" and info.version or info[name] end
    facts[#facts + 1] = { ({ isa = "kernels", threads = "threads per run" })[name] or name, value }
  end
  return facts
end

local function lead(results)
  local failed, seconds = 0, 0
  for i, result in ipairs(results) do
    if result.error then failed = failed + 1 end
    local run = results.runs and results.runs[i]
    seconds = seconds + (run and run.seconds or 0)
  end
  local text = ("%d run%s"):format(#results, #results == 1 and "" or "s")
  if seconds > 0 then text = text .. (", %.1f s of work"):format(seconds) end
  return failed > 0 and ("%s, %d failed"):format(text, failed) or text
end

local function page(title, results, over, numbers, figures)
  local out = {
    "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    "<title>" .. html(title) .. "</title>", "<style>" .. STYLE .. "</style></head><body>",
    "<h1>" .. html(title) .. "</h1>", '<p class="lead">' .. html(lead(results)) .. "</p>",
  }
  local function add(...) for _, text in ipairs { ... } do out[#out + 1] = text end end
  for i, figure in ipairs(figures) do
    add("<h2>" .. html(figure.title) .. "</h2>", "<figure>" .. figure.svg .. "</figure>")
    if i == 1 then add("<h2>Results</h2>", result_table(results, over, numbers)) end
  end
  if #figures == 0 then add("<h2>Results</h2>", result_table(results, over, numbers)) end
  local facts = settings(results, over)
  if #facts > 0 then add("<h2>Settings</h2>", facts_table(facts)) end
  add("<h2>Environment</h2>", facts_table(environment(results)), "</body></html>\n")
  return table.concat(out, "\n")
end

local function make_figures(results, over, x, y, curves, stem)
  local list, figures = groups(results, over, x), {}
  local function add(title, name, fig)
    local number = #figures + 1
    figures[number] = { title = title, svg = keep(fig, ("%s-%s"):format(stem, name:gsub("[^%w_-]", "_")), number) }
  end
  if x and y then add(("%s against %s"):format(y, x), y, draw_points(list, x, y)) end
  for _, name in ipairs(curves) do add(name, name .. "-curves", draw_curves(list, x, name)) end
  return figures
end

local function report(results, path, title, x, y, curves, over)
  if #results == 0 then fail("results is empty: it must be a list of tables, what sq.sweep returns") end
  for i, result in ipairs(results) do
    if type(result) ~= "table" then fail("results[%d] is a %s: it must be a table", i, type(result)) end
  end
  over = over or results.over or {}
  path = path or sys.fs.join(results.dir or ".", "report.html")
  local numbers, found = kinds(results, over)
  check_name("x", x, over)
  check_name("y", y, numbers)
  for _, name in ipairs(curves or {}) do check_name("curves", name, found) end
  local folder = path:match "^(.*)/[^/]*$"
  local ok, why = true, nil
  if folder and folder ~= "" then ok, why = sys.fs.mkdir_p(folder) end
  if not ok then fail("%s", why) end
  local stem = path:gsub("%.html?$", "")
  local figures = make_figures(results, over, x or number_option(results, over), y or preferred(numbers),
    curves or found, stem)
  ok, why = sys.write(path, page(title or "Report", results, over, numbers, figures))
  if not ok then fail("%s", why) end
  return path
end

return api.define {
  owner = "sq", name = "report", call = report,
  signature = "(results: table, path: string? = nil, title: string? = nil, x: string? = nil, y: string? = nil, "
    .. "curves: table? = nil, over: table? = nil) -> string",
  doc = "Writes what sq.sweep returned as one self-contained HTML page and returns its path (by default report.html in the "
    .. "sweep's folder): y (accuracy, loss, or the first number) against x (the last swept option that is a number), a "
    .. "table of all numbers, every list of numbers as curves, settings, environment. The figures lie beside it as SVG and "
    .. "PNG. Results of another origin name what was varied in `over`.",
  example = "sq.report(sq.sweep(train, options, {over = {\"lr\"}}), {title = \"Which rate?\"})",
}
