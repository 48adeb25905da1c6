-- library_spec.lua: the C library as a C programmer meets it: the umbrella header, the start, what is installed, what is
-- exported, and the program in runtime/README.md, built by pkg-config and run.
local support = require "spec.lib.support"

local out = support.seqrt:gsub("/?[^/]*$", "")
local san = out:match "^build/([%a,-]+)$" or ""
san = san:gsub("%-?small$", "")
local cc = "cc -std=c11 -g -Wall -Wextra -Werror"
  .. (san:find "address" and " -fsanitize=address" or "") .. (san:find "undefined" and " -fsanitize=undefined" or "")
  .. (san:find "thread" and " -fsanitize=thread" or "")
local root, dir = support.tmpdir(), support.tmpdir()

local function sh(command, env)
  local text, err, code = support.shell("sh -c " .. support.quote(command), {env = env})
  return text, err, code
end

local function must(command, env)
  local text, err, code = sh(command, env)
  assert.equal(0, code, command .. "\n" .. text .. err)
  return text
end

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

local found = {PKG_CONFIG_PATH = root .. "/usr/lib/pkgconfig", PKG_CONFIG_SYSROOT_DIR = root,
  PKG_CONFIG_ALLOW_SYSTEM_LIBS = "1", PKG_CONFIG_ALLOW_SYSTEM_CFLAGS = "1"}

-- The sysroot stands before our paths alone: private libraries are named without a path.
local SHARED = " $(pkg-config --cflags --libs seqrt)"
local STATIC = " $(pkg-config --cflags seqrt) -L" .. root .. "/usr/lib -Wl,-Bstatic -lseqrt -Wl,-Bdynamic"
  .. " $(pkg-config --static --libs seqrt)"

local function public_headers()
  local list = {}
  for _, path in ipairs(lines(must "cd runtime && ls */*.h")) do
    if not (path:find "_priv%.h$" or path:find "_tmpl%.h$" or path:find "/stamp%.h$") then list[#list + 1] = path end
  end
  return list
end

describe("the C library", function()
  setup(function()
    must(("env -u MAKEFLAGS make -s copy OUT=%s PREFIX=/usr DESTDIR=%s"):format(support.quote(out), root))
  end)

  it("has an umbrella header that holds every public one, and compiles alone", function()
    local text, headers = support.read "runtime/seqrt.h", public_headers()
    assert.is_true(#headers > 30)
    for _, header in ipairs(headers) do
      assert.truthy(text:find('#include "' .. header .. '"', 1, true), header .. " is missing in runtime/seqrt.h")
    end
    support.write(dir .. "/alone.c", "#include <seqrt.h>\n")
    must(cc .. " -Wconversion -Wshadow -Wstrict-prototypes -fsyntax-only -Iruntime " .. dir .. "/alone.c")
    for _, header in ipairs(headers) do
      support.write(dir .. "/one.c", ('#include "%s"\n#include "%s"\n'):format(header, header))
      must(cc .. " -fsyntax-only -Iruntime " .. dir .. "/one.c")
    end
  end)

  it("installs headers, both libraries and seqrt.pc, and takes all away", function()
    for _, header in ipairs(public_headers()) do
      assert.is_true(support.exists(root .. "/usr/include/seqrt/" .. header), header)
    end
    assert.equal("", must("find " .. root .. " -name '*_priv.h' -o -name '*_tmpl.h'"))
    assert.matches("SONAME.*%[libseqrt%.so%.0%]", must("readelf -d " .. root .. "/usr/lib/libseqrt.so"))
    assert.equal("0.1.0\n", must("pkg-config --modversion seqrt", found))
    local other = support.tmpdir()
    must(("env -u MAKEFLAGS make -s copy OUT=%s PREFIX=/opt/x DESTDIR=%s"):format(support.quote(out), other))
    must(("env -u MAKEFLAGS make -s uninstall PREFIX=/opt/x DESTDIR=%s"):format(other))
    assert.equal("", must("find " .. other .. " ! -type d"))
  end)

  it("exports the public names alone", function()
    local public = 0
    for _, line in ipairs(lines(must("nm -D --defined-only " .. root .. "/usr/lib/libseqrt.so"))) do
      local name = line:match "%S+$"
      assert.truthy(name:find "^sq_[^_]", name .. " is no public name")
      public = public + 1
    end
    assert.is_true(public > 200)
    assert.equal("", must("nm -D --defined-only " .. out .. "/seqrt.so | grep ' sq_' || true"))
  end)

  it("says that it has not been started, and does not crash", function()
    support.write(dir .. "/early.c", [[
#include <seqrt.h>
#include <stdio.h>

static int wrong(const char *what, sq_status st) {
  if (st == SQ_ESTATE) return 0;
  printf("%s: status %d\n", what, st);
  return 1;
}

int main(void) {
  sq_tensor *t, *u;
  sq_layer *l;
  const sq_layer_class *class;
  int bad = wrong("new", sq_tensor_new(SQ_F32, 1, (int64_t[]){3}, &t));
  bad += wrong("full", sq_tensor_full(SQ_F64, 0, NULL, 1, &t));
  bad += wrong("scalar", sq_tensor_scalar(SQ_I64, 1, &t));
  bad += wrong("digits", sq_digits_draw(sq_rng_default(), 3, &t, &u));
  bad += wrong("palindrome", sq_palindrome_batch(sq_rng_default(), 5, 3, true, &t, &u));
  if (sq_layer_class_of("LSTM", &class) != SQ_OK) return 2;
  bad += wrong("layer", sq_layer_new(class, 2, (sq_arg[]){SQ_I(3), SQ_I(4)}, &l));
  bad += sq_apply(SQ_OP_exp, 1, (sq_arg[]){SQ_N(1)}, &t) != SQ_ETYPE;
  bad += sq_layer_new(class, 2, (sq_arg[]){SQ_I(3), SQ_S("four")}, &l) != SQ_ETYPE;
  puts(sq_error_text());
  bad += sq_layer_new(class, 1, (sq_arg[]){SQ_I(3)}, &l) != SQ_EARG;
  puts(sq_error_text());
  if (sq_layer_class_of("GELU", &class) != SQ_OK) return 2;
  bad += sq_layer_new(class, 1, (sq_arg[]){SQ_S("tanhh")}, &l) != SQ_EARG;
  puts(sq_error_text());
  if (sq_layer_class_of("LSTM", &class) != SQ_OK) return 2;
  bad += sq_layer_class_of("LSTN", &class) != SQ_EARG;
  puts(sq_error_text());
  bad += sq_init() != SQ_OK || sq_init() != SQ_OK;
  bad += sq_layer_new(class, 2, (sq_arg[]){SQ_I(3), SQ_I(4)}, &l) != SQ_OK;
  if (!bad) sq_layer_drop(l);
  return bad;
}
]])
    must(cc .. " -o " .. dir .. "/early " .. dir .. "/early.c" .. SHARED, found)
    local text = must(dir .. "/early", {LD_LIBRARY_PATH = root .. "/usr/lib"})
    assert.truthy(text:find("[nn.LSTM] hidden_size is of another kind: it is called as nn.LSTM(input_size: int", 1, true), text)
    assert.truthy(text:find("[nn.LSTM] hidden_size is missing", 1, true), text)
    assert.truthy(text:find('[nn.GELU] approximate is "tanhh": it must be one of none|tanh (did you mean', 1, true), text)
    assert.truthy(text:find("no layer is called 'LSTN': did you mean 'LSTM'?", 1, true), text)
    local _, _, code = sh(dir .. "/early", {LD_LIBRARY_PATH = root .. "/usr/lib", SEQRT_ISA = "sse9"})
    assert.equal(2, code) -- sq_init fails, and so does the layer behind it
  end)

  describe("in the README's program", function()
    local source = support.read("runtime/README.md"):match "\n```c\n(.-)```\n"

    local function build(name, how)
      support.write(dir .. "/digits.c", source)
      must(("%s -o %s/%s %s/digits.c%s"):format(cc, dir, name, dir, how), found)
    end

    local function first_and_last(text)
      return tonumber(text:match "step 1 loss (%S+)"), tonumber(text:match "step 400 loss (%S+)")
    end

    it("trains on drawn digits, shared and static to the same bits, and saves what Lua reads #long", function()
      build("shared", SHARED)
      build("static", STATIC)
      local text = must("cd " .. dir .. " && ./shared", {LD_LIBRARY_PATH = root .. "/usr/lib"})
      local weights = support.read(dir .. "/digits.safetensors")
      local first, last = first_and_last(text)
      assert.is_true(first > 2 and last < 0.3, text)
      assert.equal(text, must("cd " .. dir .. " && ./static"))
      assert.equal(weights, support.read(dir .. "/digits.safetensors"))
      assert.is_nil(must("ldd " .. dir .. "/static"):find "libseqrt")
      local sq = require "seqrt"
      local model = sq.nn.Sequential(sq.nn.Linear(784, 64), sq.nn.ReLU(), sq.nn.Linear(64, 10))
      model:load_state_dict(sq.load(dir .. "/digits.safetensors"))
      local set = sq.data.Digits {n = 1000, generator = sq.Generator(3)}
      local right = 0
      for x, y in sq.data.DataLoader(set, {batch_size = 500}):epoch() do
        right = right + model(x:reshape(-1, 784)):argmax(-1):eq(y):sum():item()
      end
      assert.is_true(right > 900, tostring(right))
    end)

    it("reads IDX files, and ends with the library's text on a broken one", function()
      build("shared", SHARED)
      local function u32(...) return string.pack(">" .. ("I4"):rep(select("#", ...)), ...) end
      local pixels, labels = {}, {}
      for i = 0, 63 do
        pixels[i + 1] = string.char(i % 10 * 25):rep(784)
        labels[i + 1] = string.char(i % 10)
      end
      support.write(dir .. "/images", u32(0x803, 64, 28, 28) .. table.concat(pixels))
      support.write(dir .. "/labels", u32(0x801, 64) .. table.concat(labels))
      local env = {LD_LIBRARY_PATH = root .. "/usr/lib"}
      local first, last = first_and_last(must("cd " .. dir .. " && ./shared images labels", env))
      assert.is_true(last < first)
      support.write(dir .. "/labels", u32(0x801, 65) .. table.concat(labels))
      local _, err, code = sh("cd " .. dir .. " && ./shared images labels", env)
      assert.equal(1, code)
      assert.matches("^digits: 'labels': %[idx%] at byte 4: sizes %(65%) make a file of 73 bytes, this has 72", err)
    end)
  end)
end)
