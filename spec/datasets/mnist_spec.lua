-- mnist_spec.lua: data/fetch.sh against mirrors that are good, gone, cut or wrong; they are folders, by file:// addresses.
local support = require "spec.lib.support"

local top = support.tmpdir()
local good, sums = top .. "/good", top .. "/sums"

local function sh(command)
  local out, err, code = support.shell("bash -c " .. support.quote(command))
  assert.equal(0, code, err)
  return out
end

-- Fetches from mirrors, folders under top, into a folder there.
local function fetch(to, ...)
  local words = {"data/fetch.sh", top .. "/" .. to, sums}
  for i, mirror in ipairs {...} do words[i + 3] = "file://" .. top .. "/" .. mirror end
  return support.shell(table.concat(words, " "))
end

local function listing(to) return sh("ls -A " .. top .. "/" .. to) end

local function same(to)
  for _, name in ipairs {"a", "b"} do
    assert.equal(support.read(good .. "/" .. name .. ".gz"), support.read(("%s/%s/%s.gz"):format(top, to, name)))
  end
  assert.equal("a.gz\nb.gz\n", listing(to))
end

describe("data/fetch.sh", function()
  setup(function()
    sh(([[cd %s; mkdir good cut wrong; seq 20000 >a; seq 30000 >b; sha256sum a b >sums
      for f in a b; do gzip -c $f >good/$f.gz; head -c 1000 good/$f.gz >cut/$f.gz; seq 3 | gzip >wrong/$f.gz; done]])
      :format(top))
  end)

  it("puts the files in their place, and leaves them there", function()
    local out, err, code = fetch("one", "good")
    assert.equal(0, code, err)
    assert.matches("a: from file:///.*/good\nb: from ", out)
    same "one"
    out, err, code = fetch("one", "gone")
    assert.equal(0, code, err)
    assert.equal("a: here\nb: here\n", out)
  end)

  it("goes to the next mirror when one is gone, cut or wrong", function()
    local out, err, code = fetch("two", "gone", "cut", "wrong", "good")
    assert.equal(0, code, err)
    assert.matches("b: from file:///.*/good\n$", out)
    assert.matches("a: file:///%S*/gone: curl: ", err)
    assert.matches("a: file:///%S*/cut: the bytes are not those of a\n", err)
    assert.matches("a: file:///%S*/wrong: the bytes are not those of a\n", err)
    same "two"
  end)

  it("leaves nothing under a file's name when no mirror is right", function()
    local out, err, code = fetch("three", "gone", "cut", "wrong")
    assert.equal(1, code)
    assert.equal("", out)
    assert.matches("fetch.sh: not all files are there; the same command goes on where it stopped\n$", err)
    assert.equal("", listing "three")
  end)

  it("replaces a broken file", function()
    sh(("mkdir %s/four; cp %s/cut/a.gz %s/four"):format(top, top, top))
    assert.equal(0, (select(3, fetch("four", "good"))))
    same "four"
  end)

  it("goes on from what an earlier call left, and throws away what belongs to no file", function()
    sh(("mkdir %s/five; cp %s/cut/a.gz %s/five/a.gz.part; seq 9 >%s/five/b.gz.part"):format(top, top, top, top))
    local _, err, code = fetch("five", "good")
    assert.equal(0, code, err)
    same "five"
  end)

  it("runs twice at once", function()
    sh(("for i in 1 2 3; do data/fetch.sh %s/six %s file://%s & done; wait"):format(top, sums, good))
    same "six"
  end)

  it("knows MNIST", function()
    local mirror = (os.getenv "SEQRT_DATA" or "data") .. "/mnist"
    if not support.exists(mirror .. "/train-images-idx3-ubyte.gz") then return end
    mirror = sh("realpath " .. mirror):gsub("\n", "")
    local to = top .. "/mnist"
    local out, err, code = support.shell(("data/fetch.sh %s '' file:///none file://%s"):format(to, mirror))
    assert.equal(0, code, err)
    assert.equal(4, select(2, out:gsub("from file://", "")))
    assert.equal("4\n", sh("ls -A " .. to .. " | wc -l"))
  end)
end)
