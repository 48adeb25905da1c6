-- report_spec.lua: the page of a sweep: what is in it, what is kept out of it, what is refused.
local sq = require "seqrt"
local support = require "spec.support"

local function results()
  local list = {over = {"cell", "T"}, options = {cell = {"a", "b"}, T = {5, 10}, lr = 0.25}, runs = {}}
  for _, cell in ipairs {"a", "b"} do
    for _, T in ipairs {5, 10} do
      list[#list + 1] = {cell = cell, T = T, accuracy = T / 16, other = 7, losses = {3, 2, 1}, note = "kept out"}
      list.runs[#list.runs + 1] = {seconds = 1.5, record = {command = "seqrt s.lua", threads = 3, seqrt = "9.9.9"}}
    end
  end
  return list
end

local function written(list, options)
  options = options or {}
  options.path = options.path or support.tmpdir() .. "/deep/r.html"
  assert.equal(options.path, sq.report(list, options))
  return support.read(options.path), options.path
end

-- Every tag that is opened is closed, in order.
local function assert_nested(text)
  local void, open = {meta = true}, {}
  for close, name, attributes in text:gsub("<!.->", ""):gmatch "<(/?)([%a][%w:]*)([^>]*)>" do
    if close == "/" then
      assert.equal(name, table.remove(open))
    elseif not void[name] and attributes:sub(-1) ~= "/" then
      open[#open + 1] = name
    end
  end
  assert.same({}, open)
end

describe("sq.report", function()
  it("has figures, results, settings and environment on one page that needs no other file", function()
    local text, path = written(results(), {title = "Two cells"})
    assert_nested(text)
    for _, part in ipairs {"<title>Two cells</title>", "4 runs, 6.0 s of work", "<h2>accuracy against T</h2>",
      "<h2>losses</h2>", '<td>a</td><td class="number">5</td><td class="number">0.3125</td><td class="number">7</td>',
      "<tr><th>lr</th><td>0.25</td></tr>", "<tr><th>T (swept over)</th><td>5, 10</td></tr>",
      "<tr><th>command</th><td>seqrt s.lua</td></tr>", "<tr><th>threads per run</th><td>3</td></tr>",
      "<tr><th>seqrt</th><td>9.9.9</td></tr>", "<tr><th>kernels</th><td>" .. sq.info().isa .. "</td></tr>"} do
      assert.truthy(text:find(part, 1, true), part)
    end
    assert.equal(2, select(2, text:gsub("<svg ", "")))
    assert.is_nil(text:find("kept out", 1, true))
    assert.is_nil(text:find "<script" or text:find "<link" or text:find ' src="' or text:find 'href="http')
    local seen = {}
    for id in text:gmatch ' id="([^"]+)"' do
      assert.is_nil(seen[id], id)
      seen[id] = true
    end
    for id in text:gmatch 'href="#([^"]+)"' do assert.is_true(seen[id], id) end
    for id in text:gmatch "url%(#([^)]+)%)" do assert.is_true(seen[id], id) end
    for _, name in ipairs {"-accuracy.png", "-accuracy.svg", "-losses-curves.png", "-losses-curves.svg"} do
      assert.is_true(support.exists((path:gsub("%.html$", "")) .. name), name)
    end
  end)

  it("takes texts of scripts and failures as texts", function()
    local list = results()
    list[2] = {cell = "a", T = 10, error = "s.lua:3: <script>alert('x')</script> & \27[31mred \255"}
    list[1].cell = '<b>"a"</b>'
    local text = written(list, {title = "<i>title</i>"})
    assert_nested(text)
    assert.truthy(text:find("4 runs, 6.0 s of work, 1 failed", 1, true))
    assert.truthy(text:find('<td class="failed" colspan="2">s.lua:3: &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; '
      .. " [31mred ?</td>", 1, true), text)
    assert.truthy(text:find("&lt;b&gt;&quot;a&quot;&lt;/b&gt;", 1, true))
    assert.is_nil(text:find("<script", 1, true) or text:find("<i>", 1, true) or text:find("\27", 1, true))
    assert.truthy(utf8.len(text))
  end)

  it("draws what it is asked to, and holds results of any origin", function()
    local text = written(results(), {y = "other", curves = {}})
    assert.truthy(text:find("<h2>other against T</h2>", 1, true))
    assert.equal(1, select(2, text:gsub("<svg ", "")))
    text = written({{name = "one", loss = 0.5}, {name = "two", loss = 0 / 0}}, {over = {"name"}})
    assert.equal(0, select(2, text:gsub("<svg ", "")))
    assert.truthy(text:find('<td>one</td><td class="number">0.5</td>', 1, true))
  end)

  it("says what is wrong with its arguments", function()
    local function raises(expected, ...)
      local ok, message = pcall(sq.report, ...)
      assert.is_false(ok)
      assert.truthy(tostring(message):find(expected, 1, true), message)
    end
    local dir = support.tmpdir()
    raises("[report] results is empty: it must be a list of tables, what sq.sweep returns", {})
    raises("[report] results[1] is a number: it must be a table", {3})
    raises("[report] y: no result has 'acuracy': did you mean 'accuracy'?", results(), {y = "acuracy", path = dir .. "/r.html"})
    raises("[report] curves: no result has 'loses': did you mean 'losses'?", results(), {curves = {"loses"}})
    raises("[report] x: no result has 't'", results(), {x = "t"})
    raises("/file': Not a directory", results(), {path = support.write(dir .. "/file", "x") .. "/r.html"})
  end)
end)
