-- readers_spec.lua: npy, safetensors and PNG: what is read, and what a hostile file is told: its name, the place, the field.
local sq = require "seqrt"
local support = require "spec.lib.support"
local image = sq.image

local function bytes_of(hex) return (hex:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end)) end

local function save(ending, text) return support.write(support.tmpdir() .. "/file." .. ending, text) end

-- The error of reading that text, which must name the file.
local function refusal(read, ending, text)
  local path = save(ending, text)
  local ok, message = pcall(read, path)
  assert.is_false(ok, "it was read")
  assert.truthy(tostring(message):find("'" .. path .. "': ", 1, true), tostring(message))
  return tostring(message)
end

-- Every truncation is refused, every flipped bit is refused with the file's name or read.
local function survive(read, ending, text)
  local path = support.tmpdir() .. "/file." .. ending
  local function try(bytes)
    support.write(path, bytes)
    local ok, message = pcall(read, path)
    if not ok then assert.truthy(tostring(message):find("'" .. path .. "': ", 1, true), tostring(message)) end
    return ok
  end
  for n = 0, #text - 1 do assert.is_false(try(text:sub(1, n)), n .. " bytes of " .. #text) end
  for n = 1, #text do
    for bit = 0, 7 do try(text:sub(1, n - 1) .. string.char(text:byte(n) ~ (1 << bit)) .. text:sub(n + 1)) end
  end
end

-- --- safetensors ------------------------------------------------------------------------------------------------

local function safetensors(header, data) return ("<I8"):pack(#header) .. header .. (data or "") end

local function entry(name, dtype, shape, from, to)
  return ('"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}'):format(name, dtype, shape, from, to)
end

local function header(...) return "{" .. table.concat({...}, ",") .. "}" end

describe("safetensors", function()
  it("of other types are converted", function()
    local path = save("safetensors", safetensors(header(entry("h", "F16", "3", 0, 6), entry("b", "BF16", "2", 6, 10),
      entry("i", "I32", "1,2", 10, 18)), ("<I2I2I2I2I2i4i4"):pack(0x3c00, 0xc000, 0x7bff, 0x3f80, 0xc0a0, -7, 2 ^ 30 | 0)))
    local t = sq.load(path)
    assert.same({1, -2, 65504}, t.h:tolist())
    assert.same({1, -5}, t.b:tolist())
    assert.same({{-7, 1 << 30}}, t.i:tolist())
    assert.same({"float32", "float32", "int64"}, {t.h.dtype, t.b.dtype, t.i.dtype})
  end)

  it("may end their header with spaces, be empty, and hold tensors of no element", function()
    assert.same({}, sq.load(save("safetensors", safetensors "{}      ")))
    assert.equal("(0,3)", tostring(sq.load(save("safetensors", safetensors(header(entry("e", "F32", "0,3", 0, 0))))).e.shape))
  end)

  local x = entry("x", "F32", "1", 0, 4)
  local hostile = {
    {"too short for a length", "1234567"},
    {"a length beyond the file", ("<I8"):pack(100) .. "{}"},
    {"a length beyond 100 MB", ("<I8"):pack(100000001) .. "{}"},
    {"a length beyond 63 bits", ("<I8"):pack(-1) .. "{}"},
    {"a header that does not start with {", safetensors " {}"},
    {"a list for a header", safetensors "[]"},
    {"broken JSON", safetensors '{"x":'},
    {"more after the JSON", safetensors(header(x) .. "1", "abcd")},
    {"a name twice", safetensors(header(x, entry("x", "F32", "1", 4, 8)), "abcdefgh")},
    {"a field twice", safetensors('{"x":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', "abcd")},
    {"a hole", safetensors(header(x, entry("y", "F32", "1", 8, 12)), ("a"):rep(12))},
    {"an overlap", safetensors(header(x, entry("y", "F32", "1", 2, 6)), ("a"):rep(6))},
    {"bytes that are nobody's", safetensors(header(x), "abcdefgh")},
    {"data that is missing", safetensors(header(x), "abc")},
    {"offsets that do not fit the shape", safetensors(header(entry("x", "F32", "2", 0, 4)), "abcd")},
    {"offsets that go backwards", safetensors(header(entry("x", "F32", "1", 4, 0)), "abcd")},
    {"a shape whose product overflows", safetensors(header(entry("x", "F32", "4294967296,4294967296", 0, 0)))},
    {"a negative size", safetensors(header(entry("x", "F32", "-1", 0, 4)), "abcd")},
    {"a size that is no integer", safetensors(header(entry("x", "F32", "1.5", 0, 4)), "abcd")},
    {"an unknown type", safetensors(header(entry("x", "F31", "1", 0, 4)), "abcd")},
    {"no shape", safetensors('{"x":{"dtype":"F32","data_offsets":[0,4]}}', "abcd")},
    {"an unknown field", safetensors('{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"z":1}}', "abcd")},
    {"metadata that are no texts", safetensors(header('"__metadata__":{"a":1}', x), "abcd")},
    {"a name that is not UTF-8", safetensors(header(entry("\255", "F32", "1", 0, 4)), "abcd")},
  }

  for _, case in ipairs(hostile) do
    it("with " .. case[1] .. " are refused, with the place", function()
      local message = refusal(sq.load, "safetensors", case[2])
      assert.truthy(message:find "%[safetensors%]" and message:find "at byte %d+", message)
    end)
  end

  it("survive every truncation and every flipped bit", function()
    survive(sq.load, "safetensors", safetensors(header(x, entry("y", "U8", "2", 4, 6)), "abcdef"))
  end)

  it("that lie about their size cost no memory", function()
    local code = [[
      local sq = require "seqrt"
      local function peak() return tonumber(io.open "/proc/self/status":read "a":match "VmHWM:%s*(%d+)") end
      pcall(sq.load, arg[2])
      local before = peak()
      assert(not pcall(sq.load, arg[1]))
      print(peak() - before)]]
    local script = support.write(support.tmpdir() .. "/s.lua", code)
    local none = save("safetensors", "")
    for _, case in ipairs(hostile) do
      local out, err = support.run {script, save("safetensors", case[2]), none}
      assert.is_true((tonumber(out) or math.huge) <= 16 * 1024, case[1] .. ": " .. out .. err)
    end
  end)
end)

-- --- npy ------------------------------------------------------------------------------------------------------

local function npy(version, descr, fortran, shape, data)
  local dict = ("{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }"):format(descr, fortran, shape)
  return "\147NUMPY" .. string.char(version, 0) .. (version == 1 and "<s2" or "<s4"):pack(dict .. "\n") .. data
end

describe("npy", function()
  local load = sq.npy.load
  local function value(...) return load(save("npy", npy(...))) end

  it("of versions 1 to 3, both orders and both byte orders are read", function()
    local six = {("<I2I2I2I2I2I2"):pack(1, 2, 3, 4, 5, 6)}
    for version = 1, 3 do
      local t = value(version, "<f4", "False", "2, 3", ("<ffffff"):pack(1, 2, 3, 4, 5, 6))
      assert.same({{1, 2, 3}, {4, 5, 6}}, t:tolist())
      assert.equal("float32", t.dtype)
    end
    assert.same({{1, 3, 5}, {2, 4, 6}}, value(1, "<f4", "True", "2, 3", ("<ffffff"):pack(1, 2, 3, 4, 5, 6)):tolist())
    local big = (">i4i4i4i4i4i4"):pack(1, 2, 3, 4, 5, 6)
    assert.same({{1, 3, 5}, {2, 4, 6}}, value(1, ">i4", "True", "2, 3", big):tolist())
    assert.same({1, -2}, value(1, ">f8", "False", "2,", (">dd"):pack(1, -2)):tolist())
    assert.same({1, 2, 3, 4, 5, 6}, value(1, "<u2", "False", "6,", six[1]):tolist())
    assert.same({-1, 7}, value(1, ">i8", "False", "2,", (">i8i8"):pack(-1, 7)):tolist())
    assert.equal("bool", value(1, "|b1", "False", "2,", "\0\1").dtype)
    assert.equal(2.5, value(1, "<f8", "False", "", ("<d"):pack(2.5)):item())
    assert.equal(0, value(1, "<f8", "False", "0, 4", ""):numel())
  end)

  it("is written as version 1, its data at a multiple of 64", function()
    local path = support.tmpdir() .. "/x.npy"
    sq.npy.save(path, sq.arange(6):reshape(2, 3))
    local text = support.read(path)
    assert.equal("\147NUMPY\1\0", text:sub(1, 8))
    local n = ("<I2"):unpack(text, 9)
    assert.equal(0, (10 + n) % 64)
    assert.equal("\n", text:sub(10 + n, 10 + n))
    assert.truthy(text:find("'fortran_order': False, 'shape': (2, 3)", 1, true))
  end)

  for _, case in ipairs {
    {"objects", npy(1, "|O", "False", "1,", "abcd")},
    {"an unknown type", npy(1, "<q9", "False", "1,", "abcd")},
    {"complex numbers", npy(1, "<c8", "False", "1,", "abcdefgh")},
    {"a version 9", npy(9, "<f4", "False", "1,", "abcd")},
    {"no magic", "NUMPY" .. ("x"):rep(100)},
    {"too little data", npy(1, "<f4", "False", "2,", "abcd")},
    {"too much data", npy(1, "<f4", "False", "1,", "abcdefgh")},
    {"a shape whose product overflows", npy(1, "<f4", "False", "4294967296, 4294967296", "")},
    {"a negative size", npy(1, "<f4", "False", "-1,", "abcd")},
    {"an order that is neither", npy(1, "<f4", "Maybe", "1,", "abcd")},
    {"a header beyond the file", "\147NUMPY\1\0\255\255{}"},
  } do
    it("with " .. case[1] .. " is refused, with the place", function()
      local message = refusal(load, "npy", case[2])
      assert.truthy(message:find "%[npy%]" and message:find "at byte %d+", message)
    end)
  end

  it("survives every truncation and every flipped bit", function()
    survive(load, "npy", npy(1, "<f4", "False", "2,", "abcdefgh"))
  end)
end)

-- --- PNG ------------------------------------------------------------------------------------------------------

-- Name, file, what is in it.
-- luacheck: push no max line length
local pictures = {
  {"grey", "89504e470d0a1a0a0000000d494844520000000200000002080000000057dd52f80000000e49444154789c6360706068f80f00030501c04e335be90000000049454e44ae426082",
    {{{0, 64}, {128, 255}}}},
  {"RGB", "89504e470d0a1a0a0000000d49484452000000020000000108020000007b40e8dd0000000f49444154789c636064626661650300003f001621bad4540000000049454e44ae426082",
    {{{1, 4}}, {{2, 5}}, {{3, 6}}}},
  {"RGBA", "89504e470d0a1a0a0000000d49484452000000010000000208060000009981b6270000001249444154789c636064626661606563ff0f000183011c78cb7b880000000049454e44ae426082",
    {{{1}, {5}}, {{2}, {6}}, {{3}, {7}}, {{4}, {255}}}},
  {"palette", "89504e470d0a1a0a0000000d4948445200000002000000010803000000c3fc8fb800000006504c54450a141e28323cd51bb4e90000000b49444154789c636064000000050002d16633780000000049454e44ae426082",
    {{{40, 10}}, {{50, 20}}, {{60, 30}}}},
  {"16-bit grey", "89504e470d0a1a0a0000000d49484452000000030000000110000000006e1b972b0000000f49444154789c6360606868f8ff1f00068402ff4660deb60000000049454e44ae426082",
    {{{0, 128, 255}}}},
  {"16-bit RGB", "89504e470d0a1a0a0000000d4948445200000001000000011002000000c0e78f9d0000000f49444154789c6360606868f8ff1f00068402ff4660deb60000000049454e44ae426082",
    {{{0}}, {{128}}, {{255}}}},
}

-- Name, file, what its numbers are of, its numbers as (C,Y,X).
local depths = {
  {"16-bit grey", "89504e470d0a1a0a0000000d49484452000000040000000110000000008cc78c520000001149444154789c6360606464647ed1c0000003df016f426d52930000000049454e44ae426082",
    65535, {{{1, 257, 1000, 32768}}}},
  {"16-bit RGB", "89504e470d0a1a0a0000000d49484452000000020000000110020000002bd0349e0000001549444154789c63606064606260feff7f8e03a30e000e92030efe94a9850000000049454e44ae426082",
    65535, {{{1, 65535}}, {{2, 40000}}, {{3, 300}}}},
  {"16-bit RGBA", "89504e470d0a1a0a0000000d4948445200000001000000021006000000c9116a640000001a49444154789c63606064606260666061606065606360ffff0f0003dc021a37d6047e0000000049454e44ae426082",
    65535, {{{1}, {5}}, {{2}, {6}}, {{3}, {7}}, {{4}, {65534}}}},
  {"16-bit grey with alpha", "89504e470d0a1a0a0000000d49484452000000020000000110040000000ebb6b420000001149444154789c63607ec1c0c87ee1ff7f000c0703c27e23e8bf0000000049454e44ae426082",
    65535, {{{1000, 2000}}, {{1000, 2000}}, {{1000, 2000}}, {{1, 65535}}}},
  {"16-bit grey with a transparent one", "89504e470d0a1a0a0000000d494844520000000200000001100000000081d9fc150000000274524e5303e8f36ff4b10000000d49444154789c63607ec1fc120003b801d8f8421df50000000049454e44ae426082",
    65535, {{{1000, 1001}}, {{1000, 1001}}, {{1000, 1001}}, {{0, 65535}}}},
  {"16-bit RGB with a transparent one", "89504e470d0a1a0a0000000d49484452000000020000000110020000002bd0349e0000000674524e53000100020003c94babf50000001149444154789c6360606460626006932c00004e000e38e99c710000000049454e44ae426082",
    65535, {{{1, 1}}, {{2, 2}}, {{3, 4}}, {{0, 65535}}}},
  {"grey with a transparent one", "89504e470d0a1a0a0000000d4948445200000002000000010800000000d14920560000000274524e530007e8f7589b0000000b49444154789c6360e70000001900108e1de84b0000000049454e44ae426082",
    255, {{{7, 8}}, {{7, 8}}, {{7, 8}}, {{0, 255}}}},
  {"1-bit grey", "89504e470d0a1a0a0000000d4948445200000008000000010100000000cb7bd2ee0000000a49444154789c63d8080000b300b2219251ca0000000049454e44ae426082",
    255, {{{255, 0, 255, 255, 0, 0, 0, 255}}}},
  {"2-bit grey", "89504e470d0a1a0a0000000d494844520000000400000001020000000096e748b00000000a49444154789c63900600001d001c8ef4f5210000000049454e44ae426082",
    255, {{{0, 85, 170, 255}}}},
  {"4-bit grey", "89504e470d0a1a0a0000000d494844520000000400000001040000000019a7bd100000000b49444154789c6360ec070000940091e24db76c0000000049454e44ae426082",
    255, {{{0, 17, 136, 255}}}},
  {"2-bit grey with a transparent one", "89504e470d0a1a0a0000000d494844520000000400000001020000000096e748b00000000274524e530002989dac140000000a49444154789c63900600001d001c8ef4f5210000000049454e44ae426082",
    255, {{{0, 85, 170, 255}}, {{0, 85, 170, 255}}, {{0, 85, 170, 255}}, {{255, 255, 0, 255}}}},
  {"2-bit palette with alphas", "89504e470d0a1a0a0000000d49484452000000040000000102030000008452e75e0000000c504c54450102030405060708090a0b0cdc6337ac0000000274524e530908a98afe430000000a49444154789c63900600001d001c8ef4f5210000000049454e44ae426082",
    255, {{{1, 4, 7, 10}}, {{2, 5, 8, 11}}, {{3, 6, 9, 12}}, {{9, 8, 255, 255}}}},
}
local TOO_BIG = "89504e470d0a1a0a0000000d49484452000f4240000f42400802000000d30faf2a0000000849444154789c030000000001480689d20000000049454e44ae426082"
-- luacheck: pop

describe("a PNG", function()
  for _, case in ipairs(pictures) do
    it("of kind " .. case[1] .. " is read", function()
      assert.same(case[3], image.load(save("png", bytes_of(case[2]))):tolist())
    end)
  end

  for _, case in ipairs(depths) do
    it("of kind " .. case[1] .. " keeps its numbers as floats, and rounds them to bytes", function()
      local path, want = save("png", bytes_of(case[2])), sq.tensor(case[4]):double()
      for _, dtype in ipairs {"float32", "float64"} do
        local x = image.load(path, dtype)
        assert.equal(dtype, x.dtype)
        assert.is_true(x:equal(want:to(dtype):div(case[3])), tostring(x))
      end
      assert.same(want:mul(255 / case[3]):add(0.5):floor():long():tolist(), image.load(path):long():tolist())
    end)
  end

  it("that says it is huge is refused", function()
    local message = refusal(image.load, "png", bytes_of(TOO_BIG))
    assert.truthy(message:find("[png] at byte 33 of 65: ", 1, true), message)
  end)

  it("survives every truncation and every flipped bit", function()
    local path = support.tmpdir() .. "/file.png"
    local text = bytes_of(pictures[2][2])
    local function try(bytes)
      support.write(path, bytes)
      local ok, message = pcall(image.load, path)
      if not ok then assert.truthy(tostring(message):find("'" .. path .. "': ", 1, true), tostring(message)) end
    end
    for n = 0, #text - 1 do try(text:sub(1, n)) end
    for n = 1, #text do
      for bit = 0, 7 do try(text:sub(1, n - 1) .. string.char(text:byte(n) ~ (1 << bit)) .. text:sub(n + 1)) end
    end
  end)

  it("comes back as it was saved; floats are cut to 0 to 1 and rounded", function()
    local path = support.tmpdir() .. "/x.png"
    for _, channels in ipairs {1, 3, 4} do
      local x = sq.randint(0, 256, {channels, 5, 7}):to "uint8"
      image.save(path, x)
      assert.is_true(image.load(path):equal(x))
    end
    image.save(path, sq.tensor {{-1., 0, 0.5, 0.25, 1, 9}})
    assert.same({{{0, 0, 128, 64, 255, 255}}}, image.load(path):tolist())
    support.assert_close({0, 0, 128 / 255, 64 / 255, 1, 1}, image.load(path, "float32"):reshape(-1):tolist(), 1e-6)
  end)

  it("of 16 bits comes back as it was saved", function()
    local path = support.tmpdir() .. "/x.png"
    for _, channels in ipairs {1, 3, 4} do
      local x = sq.randint(0, 65536, {channels, 5, 7}):double():div(65535)
      image.save(path, x, {bits = 16})
      assert.is_true(image.load(path, "float64"):equal(x))
      assert.is_true(image.load(path, "float32"):equal(x:float()))
    end
    image.save(path, sq.tensor {{-1., 0 / 0, 0.5, 1, 9}}, 16)
    assert.same({0, 0, 32768, 65535, 65535}, (image.load(path, "float64") * 65535):reshape(-1):tolist())
    image.save(path, sq.tensor({{0, 1, 128, 255}}, {dtype = "uint8"}), 16)
    assert.same({0, 257, 128 * 257, 65535}, (image.load(path, "float64") * 65535):reshape(-1):tolist())
    assert.same({{{0, 1, 128, 255}}}, image.load(path):tolist())
    assert.has_error(function() image.save(path, sq.ones(2, 2), {bits = 4}) end,
      "[image.save] bits is 4: it must be 8 or 16")
  end)
end)

describe("a grid", function()
  -- torchvision's, element by element: row r of nrow pictures, padding around each
  local function oracle(x, nrow, padding, pad_value)
    local B, C, Y, X = table.unpack(x.shape)
    local columns = math.min(nrow, B)
    local rows = math.ceil(B / columns)
    local out = {}
    for c = 1, C do
      out[c] = {}
      for y = 1, rows * (Y + padding) + padding do
        out[c][y] = {}
        for col = 1, columns * (X + padding) + padding do
          local r, k = (y - 1) // (Y + padding), (col - 1) // (X + padding)
          local iy, ix, i = (y - 1) % (Y + padding) - padding, (col - 1) % (X + padding) - padding, r * columns + k + 1
          local inside = iy >= 0 and ix >= 0 and i <= B and r < rows and k < columns
          out[c][y][col] = inside and x[{i, c, iy + 1, ix + 1}] or pad_value
        end
      end
    end
    return out
  end

  it("has torchvision's places", function()
    local x = sq.arange(1, 61, {dtype = "float32"}):reshape(5, 3, 2, 2)
    for _, o in ipairs {{8, 2, 0}, {2, 1, 9}, {3, 0, 0}, {1, 2, 0.5}, {5, 3, 1}} do
      local grid = image.make_grid(x, {nrow = o[1], padding = o[2], pad_value = o[3]})
      assert.same(oracle(x, o[1], o[2], o[3]), grid:tolist())
    end
  end)

  it("stretches values, all together, each, or in a range", function()
    local x = sq.tensor {{{{0., 1}}}, {{{2, 4}}}}
    local function row(options)
      options.padding = 0
      return image.make_grid(x, options)[1]:reshape(-1):tolist()
    end
    assert.same({0, 0.25, 0.5, 1}, row {normalize = true})
    assert.same({0, 1, 0, 1}, row {normalize = true, scale_each = true})
    assert.same({0, 0, 0.5, 1}, row {normalize = true, value_range = {1, 3}})
    assert.same({0, 1, 2, 4}, row {})
    assert.same({0, 1, 2, 4}, x:reshape(-1):tolist())
  end)

  it("is made of one picture, of grey ones and of lists, and saved", function()
    assert.equal("(3,2,2)", tostring(image.make_grid(sq.ones(2, 2)).shape))
    assert.equal("(3,2,2)", tostring(image.make_grid(sq.ones(1, 2, 2)).shape))
    assert.equal("(3,6,10)", tostring(image.make_grid({sq.ones(1, 2, 2), sq.zeros(1, 2, 2)}).shape))
    local path = support.tmpdir() .. "/grid.png"
    image.save_grid(path, sq.ones(3, 1, 2, 2), {nrow = 2, padding = 1})
    assert.equal("(3,7,7)", tostring(image.load(path).shape))
    for text, fn in pairs {
      ["[make_grid] nrow is 0: it must be at least 1"] = function() image.make_grid(sq.ones(2, 2), {nrow = 0}) end,
      ["[make_grid] padding is -1: it must be at least 0"] = function() image.make_grid(sq.ones(2, 2), {padding = -1}) end,
      ["[make_grid] the list is empty"] = function() image.make_grid {} end,
      ["[make_grid] tensor is (2): it must be (B,C,Y,X)"] = function() image.make_grid(sq.ones(2)) end,
      ["[make_grid] there is no picture"] = function() image.make_grid(sq.ones(0, 1, 2, 2)) end,
      ["[make_grid] value_range must be {lo, hi}"] = function() image.make_grid(sq.ones(2, 2), {value_range = {1}}) end,
    } do
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.truthy(tostring(message):find(text, 1, true), tostring(message))
    end
  end)
end)
