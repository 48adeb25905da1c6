-- report_spec.lua: the page of a sweep: what it shows, hostile texts, runs that failed, the files beside it.
local sq = require "seqrt"
local support = require "spec.lib.support"

-- A sweep done here, without a word.
local function sweep(run, options, over)
  local dir, results = support.tmpdir(), {options = options, over = over, runs = {}}
  local function add(depth, chosen)
    if depth > #over then
      local result = run(chosen)
      for name, value in pairs(chosen) do result[name] = value end
      results[#results + 1] = result
      results.runs[#results] = {name = "r" .. #results, dir = dir, seconds = 0.5}
      return
    end
    for _, value in ipairs(options[over[depth]]) do
      local own = {[over[depth]] = value}
      for name, each in pairs(chosen) do own[name] = each end
      add(depth + 1, own)
    end
  end
  results.dir = dir
  add(1, {})
  return results
end

local function page(results, options)
  local paths = sq.report(results, options)
  return support.read(results.dir .. "/report.html"), paths
end

local function count(text, what) return select(2, text:gsub(what, "")) end

describe("sq.report", function()
  local function measured(o)
    return {accuracy = o.T / 4, loss = 1 / o.T, losses = {3, 2, 0 / 0, 1}, tensor = sq.arange(5), note = "x"}
  end
  local OPTIONS = {cell = {"rnn", "lstm"}, T = {1, 2, 4}, lr = 0.5}

  it("is one page with charts, table, curves, settings and environment", function()
    local results = sweep(measured, OPTIONS, {"cell", "T"})
    local text, paths = page(results, {title = "A question", text = "What is it?", labels = {lstm = "Long", T = "length T"}})
    for _, part in ipairs {"<title>A question</title>", "<h1>A question</h1>", "<p>What is it?</p>", "<h2>Results</h2>",
      "<h2>Curves</h2>", "<h2>Settings</h2>", "<h2>Environment</h2>", '<td class="l">Long</td>', ">length T</text>",
      "<td>0.25</td>", "<code>1, 2, 4</code>", "<code>" .. sq._VERSION .. "</code>", "prefers-color-scheme:dark"} do
      assert.truthy(text:find(part, 1, true), part)
    end
    assert.equal(2 + 4, count(text, "<svg ")) -- accuracy and loss; losses and tensor of two cells
    assert.equal(2 * 2 + 4 * 3, count(text, "<path "))
    assert.equal(12, count(text, "<circle "))
    assert.is_nil(text:find "https?://")
    assert.is_nil(text:find "[^%w]nan[^%w]")
    assert.is_nil(text:find "<script")
    local names = {}
    for i, path in ipairs(paths) do
      names[i] = path:match "[^/]*$"
      assert.is_true(support.exists(path))
    end
    assert.same({"rnn.png", "rnn.svg", "lstm.png", "lstm.svg", "accuracy.png", "accuracy.svg", "loss.png", "loss.svg",
      "results.csv", "report.html"}, names)
    assert.equal("\137PNG", support.read(paths[1]):sub(1, 4))
    assert.equal("cell,T,accuracy,loss\nrnn,1,0.25,1\n", support.read(results.dir .. "/results.csv"):match "^.-\n.-\n")
  end)

  it("shows the fields asked for", function()
    local text = page(sweep(measured, OPTIONS, {"cell", "T"}), {y = {"accuracy"}, curves = {"losses"}})
    assert.equal(1 + 2, count(text, "<svg "))
    assert.truthy(text:find("<h1>accuracy, loss against cell, T</h1>", 1, true))
  end)

  it("escapes what is hostile", function()
    local bad = "<script>alert('x')</script>&\"\1\255"
    local results = sweep(function() return {v = 1.5, c = {1, 2}} end, {cell = {bad, "b"}, n = {1, 2}, [bad] = bad},
      {"cell", "n"})
    local text = page(results, {title = bad, text = bad, labels = {v = bad, n = bad}})
    assert.is_nil(text:find("<script", 1, true))
    assert.is_nil(text:find "[%z\1-\8\11\12\14-\31\127]")
    assert.truthy(utf8.len(text))
    assert.truthy(text:find("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;??", 1, true))
  end)

  it("shows failed runs, and sweeps without a number to draw against", function()
    local results = sweep(function(o) return o.T == 2 and {error = "it <went> wrong"} or measured(o) end, OPTIONS,
      {"cell", "T"})
    local text = page(results)
    assert.equal(2, count(text, '<td class="bad" colspan="2">it &lt;went&gt; wrong</td>'))
    assert.equal(2 * 2 + 4 * 2, count(text, "<path "))
    text = page(sweep(function() return {v = 1} end, {cell = {"a", "b"}}, {"cell"}))
    assert.equal(0, count(text, "<svg "))
    assert.truthy(text:find("<td>1</td>", 1, true))
    page(sweep(function() return {error = "no"} end, {cell = {"a"}, T = {1, 2}}, {"cell", "T"}))
    page(sweep(function(o) return {v = o.T == 1 and 0 / 0 or math.huge, c = {1 / 0, 0 / 0}} end, {T = {1, 2}}, {"T"}))
  end)

  it("says what is wrong", function()
    local results = sweep(measured, OPTIONS, {"cell", "T"})
    local function raises(text, ...)
      local ok, message = pcall(sq.report, ...)
      assert.is_false(ok)
      assert.truthy(tostring(message):find(text, 1, true), message)
    end
    raises("[report] results are not those of sq.sweep", {1})
    raises("[report] results are empty", {over = {"a"}, runs = {}, options = {}})
    raises("[report] y: no result has 'acuracy': did you mean 'accuracy'?", results, {y = {"acuracy"}})
    raises("[report] curves: no result has 'loses': did you mean 'losses'?", results, {curves = {"loses"}})
    raises("[report] x: no result has 'N'", results, {x = "N"})
    raises("cannot make the folder '/proc/none'", results, {folder = "/proc/none"})
  end)
end)
