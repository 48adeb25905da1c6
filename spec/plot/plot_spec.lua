-- plot_spec.lua: figures are files of the right kind and size, the same bytes each time; hostile data and misuse.
local sq = require "seqrt"
local support = require "spec.lib.support"

local dir = support.tmpdir()

local function saved(figure, name)
  local path = dir .. "/" .. name
  figure:save(path)
  return support.read(path)
end

local function pixels(png)
  local width, height = string.unpack(">I4I4", png, 17)
  return width, height
end

local function curves()
  local figure = sq.plot.figure {rows = 2, cols = 2, title = "Curves"}
  local x, y = {}, {}
  for i = 1, 100 do x[i], y[i] = i * 50, math.exp(-i / 20) end
  figure:axes(1, 1):line(x, y, {label = "loss"}):band(x, y, y):set {title = "T = 5", ylabel = "loss"}:legend()
  figure:axes(1, 2):line(x, y, {marker = "o", dash = "--", color = "#123"}):set {yscale = "log"}
  figure:axes(2, 1):hist(y):set {xlabel = "value"}
  figure:axes(2, 2):bar({1, 2, 3}, {names = {"a", "b", "c"}}):scatter({1, 2}, {1, 2}, {color = "red"})
  return figure
end

local function fails(text, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(message:find(text, 1, true), message)
end

describe("a figure", function()
  it("is saved as PNG, SVG and PDF, by its ending", function()
    local figure = curves()
    assert.equal("\137PNG\r\n\26\n", saved(figure, "a.png"):sub(1, 8))
    assert.truthy(saved(figure, "a.svg"):find("<svg", 1, true))
    assert.equal("%PDF", saved(figure, "a.PDF"):sub(1, 4))
    fails(".png, .svg or .pdf", figure.save, figure, dir .. "/a.jpg")
    fails("No such file or directory", figure.save, figure, dir .. "/none/a.png")
  end)

  it("has two pixels a point, and grows where its texts need more", function()
    assert.same({600, 400}, {pixels(saved(sq.plot.figure {width = 300, height = 200}, "b.png"))})
    local small = sq.plot.figure {rows = 4, cols = 4, width = 50, height = 50}
    for i = 1, 4 do for j = 1, 4 do small:axes(i, j):line {1, 2}:set {title = "panel"} end end
    local width, height = pixels(saved(small, "c.png"))
    assert.is_true(width > 4 * 120 and height > 4 * 80)
  end)

  it("is the same bytes each time", function()
    for _, ending in ipairs {"png", "pdf"} do
      assert.is_true(saved(curves(), "d." .. ending) == saved(curves(), "e." .. ending), ending)
    end
  end)

  it("changes with its data", function()
    local one, two = sq.plot.figure {}, sq.plot.figure {}
    one:axes():line {1, 2, 3}
    two:axes():line {1, 2, 2.9}
    assert.is_true(saved(one, "f.png") ~= saved(two, "g.png"))
  end)
end)

describe("an axes", function()
  local nan, inf = 0 / 0, math.huge

  it("draws what is empty, constant, not a number, huge or tiny", function()
    local hostile = {{}, {nan}, {inf, -inf}, {5}, {3, 3, 3}, {nan, 1, nan}, {1e308, -1e308}, {1e-320, 2e-320},
      {0, 0}, {-1, -2}, {1, inf, 2}, {2 ^ 53, 2 ^ 53 + 2}, {1e15, 1e15 + 1}}
    for scale in pairs {linear = true, log = true} do
      local figure = sq.plot.figure {rows = #hostile, cols = 5}
      for i, y in ipairs(hostile) do
        for j, kind in ipairs {"line", "scatter", "bar", "hist"} do
          local axes = figure:axes(i, j)
          axes[kind](axes, y, {label = "y"}):set {yscale = scale, xscale = scale}:legend()
        end
        figure:axes(i, 5):band(y, y, y):set {yscale = scale}
      end
      assert.is_true(#saved(figure, scale .. ".png") > 1000)
    end
  end)

  it("draws a million points in a file of modest size", function()
    local figure = sq.plot.figure {}
    figure:axes():line(sq.randn({1000000}, {generator = sq.Generator(1)}))
    assert.is_true(#saved(figure, "many.svg") < 500000)
  end)

  it("shows pictures", function()
    local figure = sq.plot.figure {rows = 1, cols = 3}
    figure:axes(1, 1):image(sq.rand(28, 28))
    figure:axes(1, 2):image(sq.rand(3, 8, 16))
    figure:axes(1, 3):image(sq.rand(5, 5), {cmap = "viridis", lo = -1, hi = 1})
    assert.is_true(#saved(figure, "pictures.png") > 1000)
  end)

  it("takes only what it understands", function()
    local axes = sq.plot.figure {}:axes()
    fails("[plot] no colour is called 'blurple'", axes.line, axes, {1}, {color = "blurple"})
    fails('dash is "~": it must be one of', axes.line, axes, {1}, {dash = "~"})
    fails("[plot] marker is 'q': one of o s ^ v D x + .", axes.line, axes, {1}, {marker = "q"})
    fails("[plot] yscale is 'sqrt': linear or log", axes.set, axes, {yscale = "sqrt"})
    fails("the first must be less than the second", axes.set, axes, {xlim = {2, 1}})
    fails("[plot] a legend cannot be placed at 'top'", axes.legend, axes, "top")
    fails("gray, gray_r, viridis, magma or coolwarm", axes.image, axes, sq.rand(2, 2), {cmap = "jet"})
    fails("no axes in row 2, column 1", sq.plot.figure {}.axes, sq.plot.figure {}, 2, 1)
    fails("40 rows", sq.plot.figure, {rows = 40})
  end)

  it("says when a text is no UTF-8", function()
    local figure = sq.plot.figure {}
    figure:axes():set {title = "\xff"}
    fails("not valid UTF-8", figure.save, figure, dir .. "/h.png")
  end)
end)
