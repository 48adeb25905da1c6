-- show.lua: pictures in the terminal: Kitty's, iTerm2's or sixel graphics where the environment says that it has them,
-- half blocks in colour elsewhere, a file's path where it is no terminal. Nothing is asked of the terminal: nothing hangs.

local sq = require "seqrt"
local store = require "seqrt.store"
local sys = require "seqrt.sys"

local show = {}

local fail = require("seqrt.api").fail

-- --- which way ------------------------------------------------------------------------------------------------

local WAYS = {kitty = true, iterm = true, sixel = true, blocks = true, none = true}

local function env(name) return os.getenv(name) or "" end

-- tmux and screen pass no graphics on: half blocks there.
local function way()
  local wish, term, program = env "SEQRT_IMAGES", env "TERM", env "TERM_PROGRAM"
  if wish ~= "" then
    if not WAYS[wish] then fail("SEQRT_IMAGES is '%s': it must be kitty, iterm, sixel, blocks or none", wish) end
    return wish
  end
  if not sys.isatty(1) or term == "dumb" or env "NO_COLOR" ~= "" then return "none" end
  if env "TMUX" ~= "" or env "STY" ~= "" or term:find "^tmux" or term:find "^screen" then return "blocks" end
  if env "KITTY_WINDOW_ID" ~= "" or term == "xterm-kitty" or program == "ghostty" then return "kitty" end
  if program == "iTerm.app" or program == "WezTerm" then return "iterm" end
  if term:find "sixel" or term:find "^foot" or term:find "^mlterm" then return "sixel" end
  return "blocks"
end

-- --- a PNG, as text ---------------------------------------------------------------------------------------------

local LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(bytes)
  local out = bytes:gsub("..?.?", function(three)
    local a, b, c = three:byte(1, 3)
    local n = a << 16 | (b or 0) << 8 | (c or 0)
    local text = ""
    for shift = 18, 0, -6 do
      local i = (n >> shift & 63) + 1
      text = text .. LETTERS:sub(i, i)
    end
    return text:sub(1, #three + 1) .. ("="):rep(3 - #three)
  end)
  return out
end

local CHUNK = 4096

-- q=2: the terminal answers nothing, which would be typed at the prompt.
local function kitty(t)
  local data, out = base64(store.png_bytes(t)), {}
  for at = 1, #data, CHUNK do
    local more = at + CHUNK <= #data and 1 or 0
    local keys = at == 1 and "a=T,f=100,q=2,m=" or "m="
    out[#out + 1] = "\27_G" .. keys .. more .. ";" .. data:sub(at, at + CHUNK - 1) .. "\27\\"
  end
  return table.concat(out) .. "\n"
end

local function iterm(t)
  local png = store.png_bytes(t)
  return format("\27]1337;File=inline=1;size=%d;width=auto:%s\7\n", #png, base64(png))
end

-- --- pixels -----------------------------------------------------------------------------------------------------

-- Rows of rows of {r, g, b}, shrunk by a whole factor until it fits; alpha lies on black.
local function pixels(t, wide, high)
  local x = t:to "float32"
  if x:size(1) == 4 then x = x[{{1, 3}}] * (x[4] / 255) end
  local factor = math.max(1, math.ceil(x:size(3) / wide), math.ceil(x:size(2) / high))
  if factor > 1 then
    local Y, X = math.max(1, x:size(2) // factor), math.max(1, x:size(3) // factor)
    if Y * factor > x:size(2) or X * factor > x:size(3) then factor = 1 end
  end
  if factor > 1 then x = sq.nn.functional.avg_pool2d(x:unsqueeze(1), factor)[1] end
  local planes, rows = (x + 0.5):floor():clamp(0, 255):to("int64"):tolist(), {}
  local red, green, blue = planes[1], planes[2] or planes[1], planes[3] or planes[1]
  for y = 1, #red do
    rows[y] = {}
    for i = 1, #red[y] do rows[y][i] = {red[y][i], green[y][i], blue[y][i]} end
  end
  return rows
end

-- The nearest level, 0..5, of the terminals' cube of 216 colours.
local function level(v) return v < 48 and 0 or v < 115 and 1 or (v - 35) // 40 end

-- The nearest of 256 colours: greys have 24 levels of their own.
local function index(p)
  local r, g, b = p[1], p[2], p[3]
  if r == g and g == b and r > 7 and r < 239 then return 232 + (r - 3) // 10 end
  return 16 + 36 * level(r) + 6 * level(g) + level(b)
end

local function color(base, p, full)
  if full then return format("\27[%d;2;%d;%d;%dm", base, p[1], p[2], p[3]) end
  return format("\27[%d;5;%dm", base, index(p))
end

-- Two pixels a character: the upper one in the foreground, the lower one behind it.
local function blocks(t)
  local depth, out = env "COLORTERM", {}
  local full = depth == "truecolor" or depth == "24bit"
  local rows = pixels(t, math.max(1, sys.width(1) - 1), 128)
  for y = 1, #rows, 2 do
    local last_top, last_bottom
    for x = 1, #rows[y] do
      local top = color(38, rows[y][x], full)
      local bottom = rows[y + 1] and color(48, rows[y + 1][x], full) or "\27[49m"
      if top ~= last_top then out[#out + 1] = top end
      if bottom ~= last_bottom then out[#out + 1] = bottom end
      out[#out + 1] = "▀"
      last_top, last_bottom = top, bottom
    end
    out[#out + 1] = "\27[0m\n"
  end
  return table.concat(out)
end

-- Bands of six rows; in a band each colour of the cube draws its pixels, `$` goes back to the left, `-` down.
local function sixel(t)
  local rows = pixels(t, 1000, 1000)
  local out, used = {format("\27Pq\"1;1;%d;%d", #rows[1], #rows)}, {}
  for y = 1, #rows, 6 do
    local bits = {}
    for k = 0, math.min(5, #rows - y) do
      for x, p in ipairs(rows[y + k]) do
        local c = 36 * level(p[1]) + 6 * level(p[2]) + level(p[3])
        bits[c] = bits[c] or {}
        bits[c][x] = (bits[c][x] or 0) | 1 << k
      end
    end
    local band = {}
    for c = 0, 215 do
      if bits[c] then
        local line = {}
        for x = 1, #rows[y] do line[x] = string.char(63 + (bits[c][x] or 0)) end
        local define = used[c] and "" or format(";2;%d;%d;%d", c // 36 * 20, c // 6 % 6 * 20, c % 6 * 20)
        if define ~= "" then band[#band + 1] = "#" .. c .. define end
        used[c] = true
        band[#band + 1] = "#" .. c .. table.concat(line) .. "$"
      end
    end
    out[#out + 1] = table.concat(band) .. "-"
  end
  return table.concat(out) .. "\27\\\n"
end

-- --- showing ----------------------------------------------------------------------------------------------------

local made = 0

local function fresh_path()
  made = made + 1
  local dir = env "TMPDIR"
  return sq.fs.join(dir ~= "" and dir or "/tmp", format("seqrt-%d-%d.png", sys.pid(), made))
end

local TEXT = {kitty = kitty, iterm = iterm, sixel = sixel, blocks = blocks}

-- Shows bytes (C,Y,X), C 1, 3 or 4.
function show.picture(t)
  local make = TEXT[way()]
  local path = not make and fresh_path()
  if path then store.png_write(path, t) end
  io.stdout:write(make and make(t) or path .. "\n")
  io.stdout:flush()
end

-- fig:show()
function show.show(figure)
  local path = fresh_path()
  figure:save(path)
  if way() == "none" then
    io.stdout:write(path, "\n")
    return
  end
  local t = store.png_read(path)
  os.remove(path)
  show.picture(t)
end

return show
