-- report.lua: sq.report: what a sweep found, as one HTML page that needs nothing else, and its figures and its table as
-- files.

local sq = require "seqrt"
local api = require "seqrt.api"
local chart = require "seqrt.chart"
local csv_text = require "seqrt.csv"
local record = require "seqrt.record"
local sys = require "seqrt.sys"

local escape, join = chart.escape, sys.fs.join

local function fail(text, ...) api.fail("[report] " .. text, ...) end

-- --- what the results hold -----------------------------------------------------------------------------------------

-- A list of two numbers or more, from a list or a 1-d tensor; else nil.
local function as_curve(value)
  if type(value) == "userdata" and sq.is_tensor(value) then
    value = value:dim() == 1 and value:numel() > 1 and value:tolist() or nil
  end
  if type(value) ~= "table" or #value < 2 then return nil end
  for _, v in ipairs(value) do if type(v) ~= "number" then return nil end end
  return value
end

-- The names, sorted, of the fields for which is(value) holds in some result; the swept ones left out.
local function fields(results, is)
  local found, names, swept = {}, {}, {}
  for _, name in ipairs(results.over) do swept[name] = true end
  for _, result in ipairs(results) do
    for name, value in pairs(result) do
      if type(name) == "string" and not swept[name] and not found[name] and is(value) then
        found[name], names[#names + 1] = true, name
      end
    end
  end
  table.sort(names)
  return names
end

-- The last swept option that is a number everywhere and has more than one value.
local function find_x(results)
  for i = #results.over, 1, -1 do
    local name, seen, count = results.over[i], {}, 0
    for _, result in ipairs(results) do
      local value = result[name]
      if type(value) ~= "number" then seen, count = {}, -#results end
      if not seen[value] then seen[value], count = true, count + 1 end
    end
    if count > 1 then return name end
  end
end

-- Results that differ in x alone, in order: {name, label, [1] = result, ...}.
local function make_groups(r)
  local groups, by_name = {}, {}
  for _, result in ipairs(r.results) do
    local words, labels = {}, {}
    for _, name in ipairs(r.results.over) do
      if name ~= r.x then
        local value = result[name]
        words[#words + 1] = type(value) == "string" and value or name .. tostring(value)
        labels[#labels + 1] = type(value) == "string" and r.label(value) or format("%s = %s", r.label(name), tostring(value))
      end
    end
    local name = table.concat(words, "-")
    if not by_name[name] then
      by_name[name] = {name = name, label = table.concat(labels, ", ")}
      groups[#groups + 1] = by_name[name]
    end
    if not result.error then table.insert(by_name[name], result) end
  end
  return groups
end

-- Shares are drawn from 0 to 1.
local function limits(lines)
  local high = 0
  for _, line in ipairs(lines) do
    for _, v in ipairs(line.y) do
      if not (v >= 0 and v <= 1) then return nil end
      high = math.max(high, v)
    end
  end
  return high > 0.5 and {0, 1.05} or nil
end

-- A field against x, a line for each group.
local function summary_lines(r, y)
  local lines = {}
  for _, group in ipairs(r.groups) do
    local line = {label = group.label, x = {}, y = {}}
    for _, result in ipairs(group) do
      if type(result[y]) == "number" then
        line.x[#line.x + 1], line.y[#line.y + 1] = result[r.x], result[y] + 0.0
      end
    end
    if #line.x > 0 then lines[#lines + 1] = line end
  end
  return lines
end

-- A field's curves in a group, a line for each x.
local function curve_lines(r, group, name)
  local lines = {}
  for _, result in ipairs(group) do
    local curve = as_curve(result[name])
    if curve then
      local steps = {}
      for i in ipairs(curve) do steps[i] = i end
      lines[#lines + 1] = {label = r.x and format("%s = %s", r.x, tostring(result[r.x])) or "", x = steps, y = curve}
    end
  end
  return lines
end

-- --- the page ----------------------------------------------------------------------------------------------------

local function number_text(value)
  if math.type(value) == "float" then return format("%.4g", value) end
  return tostring(value)
end

local function list_text(value)
  if type(value) ~= "table" then return number_text(value) end
  local out = {}
  for i, item in ipairs(value) do out[i] = list_text(item) end
  return table.concat(out, ", ")
end

local function add_results(out, r)
  out[#out + 1] = '<h2>Results</h2><div class="wide"><table><tr>'
  for _, name in ipairs(r.results.over) do out[#out + 1] = format('<th class="l">%s</th>', escape(name)) end
  for _, name in ipairs(r.numbers) do out[#out + 1] = format("<th>%s</th>", escape(r.label(name))) end
  out[#out + 1] = "</tr>"
  for _, result in ipairs(r.results) do
    out[#out + 1] = "<tr>"
    for _, name in ipairs(r.results.over) do out[#out + 1] = format('<td class="l">%s</td>', escape(r.label(result[name]))) end
    if result.error then
      out[#out + 1] = format('<td class="bad" colspan="%d">%s</td>', math.max(1, #r.numbers), escape(result.error))
    else
      for _, name in ipairs(r.numbers) do
        local value = result[name]
        out[#out + 1] = format("<td>%s</td>", type(value) == "number" and escape(number_text(value)) or "")
      end
    end
    out[#out + 1] = "</tr>"
  end
  out[#out + 1] = "</table></div>"
end

local function add_facts(out, title, facts, names)
  out[#out + 1] = format("<div><h2>%s</h2><table>", title)
  for _, name in ipairs(names) do
    if facts[name] ~= nil then
      out[#out + 1] = format('<tr><td class="l">%s</td><td class="l"><code>%s</code></td></tr>', escape(name),
        escape(list_text(facts[name])))
    end
  end
  out[#out + 1] = "</table></div>"
end

local function sorted_names(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return names
end

-- What ran the sweep: a run's own record, for who multiplied, and the threads of all runs.
local function environment(r)
  local facts = record.make(r.results.options)
  for _, run in ipairs(r.results.runs) do
    if run.record then
      for _, name in ipairs {"products", "blas", "isa", "cpu", "lua", "seqrt", "started"} do facts[name] = run.record[name] end
      facts["threads of a run"] = run.record.threads
      break
    end
  end
  return facts
end

local function add_charts(out, r)
  if r.x and #r.y > 0 then out[#out + 1] = '<div class="figures" style="margin-top:28px">' end
  for _, name in ipairs(r.x and r.y or {}) do
    local lines = summary_lines(r, name)
    out[#out + 1] = #lines > 0 and chart.draw(lines, {title = r.label(name), xlabel = r.label(r.x), markers = true,
      ylim = limits(lines), xticks = #lines[1].x <= 8 and lines[1].x or nil}) or ""
  end
  if r.x and #r.y > 0 then out[#out + 1] = "</div>" end
end

local function add_curves(out, r)
  if #r.curves == 0 then return end
  out[#out + 1] = '<h2>Curves</h2><div class="figures">'
  for _, group in ipairs(r.groups) do
    for _, name in ipairs(r.curves) do
      local lines = curve_lines(r, group, name)
      local title = group.label ~= "" and format("%s: %s", group.label, r.label(name)) or r.label(name)
      out[#out + 1] = #lines > 0 and chart.draw(lines, {title = title, xlabel = "step", ylim = limits(lines)}) or ""
    end
  end
  out[#out + 1] = "</div>"
end

local function page(r)
  local facts, seconds = environment(r), 0
  for _, run in ipairs(r.results.runs) do seconds = seconds + (run.seconds or 0) end
  local out = {'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width,initial-scale=1">',
    format("<title>%s</title><style>%s</style></head><body><main>", escape(r.title), chart.style),
    format("<h1>%s</h1>", escape(r.title))}
  if r.text then out[#out + 1] = format("<p>%s</p>", escape(r.text)) end
  out[#out + 1] = format('<p class="meta">%d runs, %.1f seconds of work. <code>%s</code></p>', #r.results, seconds,
    escape(facts.command))
  local beside = r.x ~= nil and #r.y == 1 -- one chart leaves room for the table
  if beside then out[#out + 1] = '<div class="pair">' end
  add_charts(out, r)
  out[#out + 1] = "<div>"
  add_results(out, r)
  out[#out + 1] = beside and "</div></div>" or "</div>"
  add_curves(out, r)
  out[#out + 1] = '<div class="pair">'
  add_facts(out, "Settings", r.results.options, sorted_names(r.results.options))
  add_facts(out, "Environment", facts, {"seqrt", "lua", "products", "isa", "cpu", "threads of a run", "seed", "started"})
  out[#out + 1] = "</div></main></body></html>\n"
  return table.concat(out, "\n")
end

-- --- files ---------------------------------------------------------------------------------------------------------

local function file_word(name) return (name:gsub("[^%w_.+-]", "_")) end

local function save_text(r, name, text)
  local path = join(r.folder, name)
  local ok, why = sys.write(path, text)
  if not ok then fail("%s", why) end
  r.paths[#r.paths + 1] = path
end

local function save_figure(r, name, figure)
  for _, kind in ipairs {"png", "svg"} do
    local path = join(r.folder, format("%s.%s", file_word(name), kind))
    figure:save(path)
    r.paths[#r.paths + 1] = path
  end
end

local function plot_summary(r, name)
  local lines = summary_lines(r, name)
  if #lines == 0 then return end
  local figure = sq.plot.figure {}
  local axes, ylim = figure:axes(1, 1), limits(lines)
  for _, line in ipairs(lines) do axes:line(line.x, line.y, {label = line.label, marker = "o"}) end
  axes:set {title = r.title, xlabel = r.label(r.x), ylabel = r.label(name)}
  if ylim then axes:set {ylim = ylim} end
  if #lines > 1 then axes:legend() end
  save_figure(r, name, figure)
end

-- A row for each x, a column for each kind of curve.
local function plot_curves(r, group)
  if #group == 0 or #r.curves == 0 then return end
  local figure = sq.plot.figure {rows = #group, cols = #r.curves, title = group.label ~= "" and group.label or r.title}
  for i, result in ipairs(group) do
    for k, name in ipairs(r.curves) do
      local curve = as_curve(result[name])
      local axes = figure:axes(i, k)
      if curve then axes:line(curve) end
      axes:set {title = r.x and format("%s = %s", r.x, tostring(result[r.x])) or "", ylabel = r.label(name), xlabel = "step"}
      local ylim = curve and limits {{y = curve}}
      if ylim then axes:set {ylim = ylim} end
    end
  end
  save_figure(r, group.name ~= "" and group.name or "curves", figure)
end

local function csv_cell(value)
  if type(value) == "number" then return math.type(value) == "float" and format("%.9g", value) or tostring(value) end
  return csv_text(value == nil and "" or tostring(value))
end

local function csv(r)
  local columns = {table.unpack(r.results.over)}
  for _, name in ipairs(r.numbers) do columns[#columns + 1] = name end
  local out = {table.concat(columns, ",")}
  for _, result in ipairs(r.results) do
    local cells = {}
    for i, name in ipairs(columns) do cells[i] = csv_cell(result[name]) end
    out[#out + 1] = table.concat(cells, ",")
  end
  return table.concat(out, "\n") .. "\n"
end

-- --- the function ----------------------------------------------------------------------------------------------------

local function check_results(results)
  if type(results.over) ~= "table" or type(results.runs) ~= "table" or type(results.options) ~= "table" then
    fail "results are not those of sq.sweep"
  end
  if #results == 0 then fail "results are empty" end
end

local function check_names(what, names, known)
  local is = {}
  for _, name in ipairs(known) do is[name] = true end
  for _, name in ipairs(names) do
    if not is[name] then
      local near = api.nearest(tostring(name), known)
      fail("%s: no result has '%s'%s", what, tostring(name), near and format(": did you mean '%s'?", near) or "")
    end
  end
  return names
end

local function report(results, title, text, folder, x, y, curves, labels)
  check_results(results)
  local r = {results = results, text = text, folder = folder or results.dir, paths = {}}
  function r.label(name) return chart.clean(labels and labels[name] or name) end
  r.numbers = fields(results, function(value) return type(value) == "number" end)
  local all = fields(results, as_curve)
  title = title or format("%s against %s", table.concat(r.numbers, ", "), table.concat(results.over, ", "))
  r.title = chart.clean(title)
  r.x = x and check_names("x", {x}, results.over)[1] or find_x(results)
  r.y = y and check_names("y", y, r.numbers) or r.numbers
  r.curves = curves and check_names("curves", curves, all) or all
  r.groups = make_groups(r)
  local ok, why = sys.fs.mkdir_p(r.folder)
  if not ok then fail("%s", why) end
  for _, group in ipairs(r.groups) do plot_curves(r, group) end
  for _, name in ipairs(r.x and r.y or {}) do plot_summary(r, name) end
  save_text(r, "results.csv", csv(r))
  save_text(r, "report.html", page(r))
  return r.paths
end

return api.define {
  owner = "sq", name = "report", call = report,
  signature = "(results: table, title: string? = nil, text: string? = nil, folder: string? = nil, x: string? = nil, "
    .. "y: table? = nil, curves: table? = nil, labels: table? = nil) -> table",
  doc = "What sq.sweep gave as report.html, one page that needs nothing else, with results.csv and figures (.png, .svg) in "
    .. "the sweep's folder: fields y against x, all curves (lists of numbers), table, settings, environment. x: the last "
    .. "swept number; y and curves: all there are. labels: texts by field or value. Returns the paths.",
  example = "sq.report(results, {title = \"Learning rates\", y = {\"accuracy\"}})",
}
