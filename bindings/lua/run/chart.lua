-- chart.lua: lines as inline SVG for an HTML page: text stays text, and the page's style sheet gives the colors, light and
-- dark. Figures for papers are sq.plot's.

local chart = {}

local WIDTH, HEIGHT = 460, 280
local LEFT, RIGHT, TOP, BOTTOM = 52, 12, 28, 40
local COLUMNS = 200 -- of a curve: more points than pixels say nothing
chart.colors = 8 -- the classes c1 to c8 of the style sheet

local ENTITIES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;"}

-- A value as UTF-8 without control characters.
function chart.clean(value)
  local text = tostring(value)
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  return (text:gsub("[%z\1-\8\11\12\14-\31\127]", "?"))
end

-- A text in HTML, whatever it holds.
function chart.escape(text)
  return (chart.clean(text):gsub("[&<>\"']", ENTITIES))
end

local function finite(x) return x - x == 0 end

-- Round numbers from low to high, about `count` of them.
local function ticks(low, high, count)
  local rough = (high - low) / count
  local unit = 10.0 ^ math.floor(math.log(rough, 10))
  local step = unit
  for _, factor in ipairs {2, 5, 10} do
    if rough / unit > factor * 0.75 then step = unit * factor end
  end
  local out = {}
  for i = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do out[#out + 1] = i * step + 0.0 end
  return out
end

-- The least and the greatest finite number of all lines, never the same.
local function range(lines, axis)
  local low, high = math.huge, -math.huge
  for _, line in ipairs(lines) do
    for _, v in ipairs(line[axis]) do
      if finite(v) then low, high = math.min(low, v), math.max(high, v) end
    end
  end
  if low > high then return 0, 1 end
  if low == high then
    local room = low == 0 and 1 or math.abs(low) / 10
    return low - room, high + room
  end
  return low, high
end

-- The least and the greatest of each of COLUMNS stretches, in their order.
local function thin(line)
  local n = #line.x
  if n <= 2 * COLUMNS then return line.x, line.y end
  local xs, ys = {}, {}
  for c = 1, COLUMNS do
    local first, last = (c - 1) * n // COLUMNS + 1, c * n // COLUMNS
    local low, high = first, first
    for i = first, last do
      if line.y[i] < line.y[low] then low = i end
      if line.y[i] > line.y[high] then high = i end
    end
    for _, i in ipairs {math.min(low, high), math.max(low, high)} do xs[#xs + 1], ys[#ys + 1] = line.x[i], line.y[i] end
  end
  return xs, ys
end

local function coordinate(x) return format("%.1f", x):gsub(",", ".") end

-- The line's path; numbers that are none interrupt it.
local function path(line, to_x, to_y)
  local xs, ys = thin(line)
  local out, command = {}, "M"
  for i, x in ipairs(xs) do
    if finite(x) and finite(ys[i]) then
      out[#out + 1] = command .. coordinate(to_x(x)) .. " " .. coordinate(to_y(ys[i]))
      command = "L"
    else
      command = "M"
    end
  end
  return table.concat(out)
end

local function add_axes(out, spec, xs, ys, to_x, to_y)
  for _, v in ipairs(ys) do
    local y = coordinate(to_y(v))
    out[#out + 1] = format('<line class="grid" x1="%d" x2="%d" y1="%s" y2="%s"/>', LEFT, WIDTH - RIGHT, y, y)
    out[#out + 1] = format('<text x="%d" y="%s" dy="4" text-anchor="end">%.6g</text>', LEFT - 7, y, v)
  end
  for _, v in ipairs(xs) do
    out[#out + 1] = format('<text x="%s" y="%d" text-anchor="middle">%.6g</text>', coordinate(to_x(v)), HEIGHT - BOTTOM + 18,
      v)
  end
  local floor = HEIGHT - BOTTOM
  out[#out + 1] = format('<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>', LEFT, WIDTH - RIGHT, floor, floor)
  out[#out + 1] = format('<text class="title" x="%d" y="16">%s</text>', LEFT, chart.escape(spec.title))
  out[#out + 1] = format('<text x="%d" y="%d" text-anchor="end">%s</text>', WIDTH - RIGHT, HEIGHT - 6,
    chart.escape(spec.xlabel))
end

local function add_legend(out, lines)
  out[#out + 1] = '<p class="legend">'
  for i, line in ipairs(lines) do
    out[#out + 1] = format('<span><i class="b%d"></i>%s</span>', (i - 1) % chart.colors + 1, chart.escape(line.label))
  end
  out[#out + 1] = "</p>"
end

-- A figure of lines {label, x, y (lists of numbers)}. spec: title, xlabel, ylim {low, high}, markers, xticks (numbers).
function chart.draw(lines, spec)
  local x0, x1 = range(lines, "x")
  local y0, y1 = range(lines, "y")
  if spec.ylim then y0, y1 = spec.ylim[1], spec.ylim[2] end
  local function to_x(x) return LEFT + 8 + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT - 16) end
  local function to_y(y) return HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM) end
  local out = {format('<figure><svg viewBox="0 0 %d %d" role="img" aria-label="%s">', WIDTH, HEIGHT,
    chart.escape(spec.title))}
  add_axes(out, spec, spec.xticks or ticks(x0, x1, 5), ticks(y0, y1, 5), to_x, to_y)
  for i, line in ipairs(lines) do
    local class = (i - 1) % chart.colors + 1
    out[#out + 1] = format('<path class="c%d" d="%s"/>', class, path(line, to_x, to_y))
    for k = 1, spec.markers and #line.x or 0 do
      if finite(line.y[k]) then
        out[#out + 1] = format('<circle class="b%d" cx="%s" cy="%s" r="3.5"><title>%s: %.6g, %.6g</title></circle>', class,
          coordinate(to_x(line.x[k])), coordinate(to_y(line.y[k])), chart.escape(line.label), line.x[k], line.y[k])
      end
    end
  end
  out[#out + 1] = "</svg>"
  if #lines > 1 or lines[1].label ~= "" then add_legend(out, lines) end
  out[#out + 1] = "</figure>"
  return table.concat(out, "\n")
end

chart.style = [[
:root{color-scheme:light dark;--page:#fdfdfc;--ink:#1c1c1e;--soft:#6b6b70;--rule:#e3e3e0;--head:#f4f4f1;--bad:#b3261e;
--p1:#1f6fb4;--p2:#d9730d;--p3:#2f8f5b;--p4:#b23a6f;--p5:#7455b8;--p6:#8a6a2f;--p7:#1a8f98;--p8:#6f7680}
@media(prefers-color-scheme:dark){:root{--page:#16171a;--ink:#e9e9ea;--soft:#9b9ba3;--rule:#2e3036;--head:#1e2025;
--bad:#ff8a80;--p1:#6db3f2;--p2:#f2a65a;--p3:#6fcf97;--p4:#f08ab5;--p5:#b39ddb;--p6:#d4b57a;--p7:#5fd0d8;--p8:#a7adb8}}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1000px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:28px;line-height:1.2;margin:0 0 8px}h2{font-size:17px;margin:40px 0 12px}p{margin:0 0 10px;max-width:72ch}
.meta{color:var(--soft)}code{font:13px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:5px 14px;border-bottom:1px solid var(--rule);text-align:right;vertical-align:top}
th{background:var(--head);font-weight:600}th.l,td.l{text-align:left}td.bad{color:var(--bad);text-align:left}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(420px,100%),1fr));gap:24px}
figure{margin:0}svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:12px}
svg text.title{fill:var(--ink);font-weight:600;font-size:13px}.grid{stroke:var(--rule)}.axis{stroke:var(--soft)}
path{fill:none;stroke-width:1.6;stroke-linejoin:round}.legend{margin:4px 0 0 11%;font-size:13px;color:var(--soft)}
.legend span{margin-right:14px;white-space:nowrap}.legend i{display:inline-block;width:10px;height:10px;border-radius:5px;
margin-right:5px}.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr));gap:0 32px}
]]
for i = 1, chart.colors do
  chart.style = chart.style .. format(".c%d{stroke:var(--p%d)}.b%d{fill:var(--p%d);background:var(--p%d)}\n", i, i, i, i, i)
end

return chart
