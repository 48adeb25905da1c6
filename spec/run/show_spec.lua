-- show_spec.lua: pictures in the terminal, to the byte: Kitty, iTerm2, sixel, half blocks; a path where it is no terminal.
local sq = require "seqrt"
local store = require "seqrt.store"
local support = require "spec.lib.support"

-- red green / blue white
local PICTURE = [[
local sq = require "seqrt"
local x = sq.tensor({255,0,0, 0,255,0, 0,0,255, 255,255,255}, {dtype = "uint8"}):view(2, 2, 3):permute(3, 1, 2)
]]

local function run(code, env)
  local path = support.write(support.tmpdir() .. "/s.lua", PICTURE .. code)
  local out, err, status = support.run({path}, {env = env})
  assert.same({"", 0}, {err, status})
  return out
end

-- What a terminal of that environment is sent between two marks.
local function sent(code, env)
  local vars = {TMUX = "", STY = "", TERM_PROGRAM = "", KITTY_WINDOW_ID = "", COLORTERM = "", NO_COLOR = "", SEQRT_IMAGES = ""}
  for name, value in pairs(env) do vars[name] = value end
  local path = support.write(support.tmpdir() .. "/s.lua", PICTURE .. "print '<<'\n" .. code .. "\nprint '>>'")
  local t = support.terminal({path}, {env = vars})
  assert.equal(0, t:status())
  return support.read(t.dir .. "/log"):gsub("\r\n", "\n"):match "<<\n(.*)>>\n"
end

local function unbase64(text)
  local pipe = assert(io.popen("printf %s " .. text .. " | base64 -d"))
  local bytes = pipe:read "a"
  pipe:close()
  return bytes
end

local function png()
  local x = sq.tensor({255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}, {dtype = "uint8"}):view(2, 2, 3)
  return store.png_bytes(x:permute(3, 1, 2))
end

local BLOCKS = "\27[38;5;196m\27[48;5;21m▀\27[38;5;46m\27[48;5;231m▀\27[0m\n"

describe("image.show on a terminal", function()
  it("takes Kitty's protocol where there is Kitty", function()
    local text = sent("sq.image.show(x)", {KITTY_WINDOW_ID = "1"})
    local data = text:match "^\27_Ga=T,f=100,q=2,m=0;([%w+/=]+)\27\\\n$"
    assert.equal(png(), unbase64(data))
  end)

  it("cuts it into pieces of 4096 letters", function()
    local text = run("sq.manual_seed(0) sq.image.show(sq.rand(3, 60, 60))", {SEQRT_IMAGES = "kitty"})
    local keys, whole = {}, ""
    for key, data in text:gmatch "\27_G(.-);([%w+/=]+)\27\\" do
      keys[#keys + 1] = key
      whole = whole .. data
      assert.is_true(#data <= 4096)
    end
    assert.same({"a=T,f=100,q=2,m=1", "m=1", "m=1", "m=0"}, keys)
    local bytes = unbase64(whole)
    assert.equal("\137PNG", bytes:sub(1, 4))
    assert.equal("IEND", bytes:sub(-8, -5))
  end)

  it("takes iTerm2's and sixel where they are", function()
    local text = sent("sq.image.show(x)", {TERM_PROGRAM = "iTerm.app"})
    local size, data = text:match "^\27%]1337;File=inline=1;size=(%d+);width=auto:([%w+/=]+)\7\n$"
    assert.equal(png(), unbase64(data))
    assert.equal(#png(), tonumber(size))
    assert.equal('\27Pq"1;1;2;2#5;2;0;0;100#5A?$#30;2;0;100;0#30?@$#180;2;100;0;0#180@?$#215;2;100;100;100#215?A$-\27\\\n',
      sent("sq.image.show(x)", {TERM = "foot"}))
  end)

  it("draws half blocks elsewhere, and in tmux: 256 colours, or all where the terminal says so", function()
    assert.equal(BLOCKS, sent("sq.image.show(x)", {TERM = "xterm-256color"}))
    assert.equal(BLOCKS, sent("sq.image.show(x)", {TMUX = "/tmp/x", KITTY_WINDOW_ID = "1"}))
    assert.equal("\27[38;2;255;0;0m\27[48;2;0;0;255m▀\27[38;2;0;255;0m\27[48;2;255;255;255m▀\27[0m\n",
      sent("sq.image.show(x)", {COLORTERM = "truecolor"}))
    assert.equal("\27[38;5;16m\27[49m▀▀▀\27[0m\n", sent("sq.image.show(sq.zeros(1, 3))", {}))
  end)

  it("shrinks what is wider than the terminal", function()
    local text = sent("sq.image.show(sq.ones(1, 50, 400))", {})
    assert.equal(66, select(2, text:match "[^\n]*":gsub("▀", ""))) -- 400 / 6, of 80 columns
    assert.equal(4, select(2, text:gsub("\n", "")))
  end)

  it("shows batches as grids, and figures", function()
    local text = sent("sq.image.show(sq.rand(4, 1, 6, 6))", {})
    assert.equal(34, select(2, text:match "[^\n]*":gsub("▀", "")))
    text = sent("local f = sq.plot.figure{} f:axes():line{1, 3, 2} f:show()", {KITTY_WINDOW_ID = "1"})
    assert.truthy(text:find "^\27_Ga=T,f=100,q=2,m=1;iVBORw0KGgo")
  end)

  it("goes into a file where pictures are not wanted", function()
    for _, env in ipairs {{TERM = "dumb"}, {NO_COLOR = "1"}, {SEQRT_IMAGES = "none"}} do
      local path = sent("sq.image.show(x)", env):match "^(/.*%.png)\n$"
      assert.equal(png(), support.read(path))
      os.remove(path)
    end
  end)
end)

describe("image.show off a terminal", function()
  it("prints a path, and no control characters", function()
    local dir = support.tmpdir()
    local out = run("sq.image.show(x) local f = sq.plot.figure{} f:axes():line{1, 3} f:show()", {TMPDIR = dir})
    local first, second = out:match "^([^\27\n]*)\n([^\27\n]*)\n$"
    assert.equal(png(), support.read(first))
    assert.equal(dir, first:match "^(.*)/seqrt%-%d+%-1%.png$")
    assert.equal("\137PNG", support.read(second):sub(1, 4))
  end)

  it("says what is wrong", function()
    local function raises(text, fn, ...)
      local ok, message = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(message:find(text, 1, true), message)
    end
    raises("[image.show] the picture is a number: it must be a Tensor", sq.image.show, 1)
    raises("[image.show] the picture is (2,3,4): C must be 1, 3 or 4", sq.image.show, sq.ones(2, 3, 4))
    raises("[image.show] the picture is int64: it must be uint8 or float", sq.image.show, sq.ones(3, 4):long())
    raises("[image.show] the picture is (1,0,4): it has no pixels", sq.image.show, sq.ones(1, 0, 4))
    local _, err, code = support.run({"-e", "require'seqrt'.image.show(require'seqrt'.ones(2, 2))"},
      {env = {SEQRT_IMAGES = "ansi"}})
    assert.equal(1, code)
    assert.truthy(err:find("SEQRT_IMAGES is 'ansi': it must be kitty, iterm, sixel, blocks or none", 1, true), err)
  end)
end)
