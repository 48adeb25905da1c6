-- cli_spec.lua: options from defaults, the messages of wrong ones, the help text.
local sq = require "seqrt"
local support = require "spec.lib.support"

local SPEC = {
  T = {5, 10, 15},
  lr = {1e-3, min = 0, max = 1, help = "learning rate"},
  hidden = {128, min = 1},
  cell = {{"rnn", "lstm"}, choices = {"rnn", "lstm", "scratch"}},
  model = {"lstm", choices = {"rnn", "lstm"}, help = "which network"},
  out = "runs/x",
  dry_run = false,
  shuffle = true,
  resume = {type = "string", help = "go on from this checkpoint"},
}

local function parse(...) return sq.cli(SPEC, {args = {...}, exit = false, script = "x.lua"}) end

local function wrong(expected, ...)
  local options, message = parse(...)
  assert.is_nil(options)
  assert.equal(expected, message)
end

describe("sq.cli", function()
  it("gives the defaults, as copies", function()
    local options = parse()
    assert.same({T = {5, 10, 15}, lr = 1e-3, hidden = 128, cell = {"rnn", "lstm"}, model = "lstm", out = "runs/x",
      dry_run = false, shuffle = true}, options)
    options.T[1] = 99
    assert.equal(5, parse().T[1])
  end)

  it("takes --lr 0.1, --lr=0.1 and -lr 0.1", function()
    assert.equal(0.1, parse("--lr", "0.1").lr)
    assert.equal(0.1, parse("--lr=0.1").lr)
    assert.equal(0.1, parse("-lr", "0.1").lr)
    assert.equal("float", math.type(parse("--lr", "1").lr))
    assert.equal("a=b", parse("--out=a=b").out)
    assert.equal("", parse("--out=").out)
    assert.equal(0.2, parse("--lr", "0.1", "--lr", "0.2").lr)
  end)

  it("takes lists, and integers written as floats", function()
    assert.same({5, 10}, parse("--T", "5,10").T)
    assert.same({7}, parse("--T=7").T)
    assert.equal("integer", math.type(parse("--hidden", "64.0").hidden))
    assert.same({"scratch"}, parse("--cell", "scratch").cell)
  end)

  it("takes flags in every manner, - and _ alike", function()
    assert.is_true(parse("--dry-run").dry_run)
    assert.is_true(parse("--dry_run").dry_run)
    assert.is_false(parse("--no-shuffle").shuffle)
    assert.is_false(parse("--shuffle=false").shuffle)
    assert.is_true(parse("--shuffle=on").shuffle)
    assert.equal("a.st", parse("--resume", "a.st").resume)
  end)

  it("says what is wrong", function()
    wrong("unknown option '--hiden': did you mean '--hidden'?", "--hiden", "3")
    wrong("unknown option '--hidden_size': did you mean '--hidden'?", "--hidden_size", "3")
    wrong("unknown option '--xyzzy'", "--xyzzy")
    wrong("unknown option '--no-lr'", "--no-lr")
    wrong("argument --lr: 'fast' is not a number", "--lr", "fast")
    wrong("argument --lr: -1 is too small: at least 0", "--lr", "-1")
    wrong("argument --lr: 2 is too large: at most 1", "--lr=2")
    wrong("argument --lr: 'nan' is not a number", "--lr", "nan")
    wrong("argument --lr: 1e999 is not finite", "--lr", "1e999")
    wrong("argument --hidden: 0 is too small: at least 1", "--hidden", "0")
    wrong("argument --hidden: '1.5' is not an integer", "--hidden", "1.5")
    wrong("argument --lr: expected a value", "--lr")
    wrong("argument --lr: expected a value", "--lr", "--hidden", "3")
    wrong("argument --T: 'x' is not an integer", "--T", "5,x")
    wrong("argument --T: '5,,6' has an empty item", "--T", "5,,6")
    wrong("argument --model: invalid choice 'gru' (choose from rnn, lstm)", "--model", "gru")
    wrong("argument --cell: invalid choice 'gru' (choose from rnn, lstm, scratch)", "--cell", "rnn,gru")
    wrong("argument --shuffle: 'maybe' is neither true nor false", "--shuffle=maybe")
    wrong("argument --no-shuffle: takes no value", "--no-shuffle=1")
    wrong("unexpected argument 'extra'", "extra")
  end)

  it("raises on a table of options that makes no sense", function()
    local function raises(text, spec)
      local ok, message = pcall(sq.cli, spec, {args = {}, exit = false})
      assert.is_false(ok)
      assert.truthy(message:find(text, 1, true), message)
    end
    raises("option 'x': 'maximum' is none of choices, min, max, help, type", {x = {1, maximum = 3}})
    raises("option 'x': needs a default or a type", {x = {help = "?"}})
    raises("option 'seed': {0} may be one value or a list of one: write 0, {0, help = \"...\"} to say more of it, or {{0}} "
      .. "for a list", {seed = {0}})
    raises("option 'model': {lstm} may be one value", {model = {"lstm"}})
    raises("option 'a-b': names are letters, digits and _", {["a-b"] = 1})
  end)

  it("writes help from the table and the script's head", function()
    local dir = support.tmpdir()
    local script = support.write(dir .. "/x.lua", "-- x.lua: learns something.\n-- Takes a minute.\n\nlocal y\n")
    local _, text = sq.cli(SPEC, {args = {"-h"}, exit = false, script = script})
    local head = "usage: seqrt " .. script .. " [options]\n\nlearns something.\nTakes a minute.\n"
    assert.truthy(text:find(head, 1, true), text)
    assert.truthy(text:find "%-%-lr X +learning rate %[0 to 1%] %(default: 0.001%)\n", text)
    assert.truthy(text:find "%-%-model {rnn,lstm} +which network %(default: lstm%)\n", text)
    assert.truthy(text:find "%-%-T N,... +%(default: 5,10,15%)\n", text)
    assert.truthy(text:find "%-%-dry%-run, %-%-no%-dry%-run +%(default: false%)\n", text)
    assert.truthy(text:find "%-%-resume TEXT +go on from this checkpoint\n", text)
  end)

  it("ends a script with 2, and help with 0", function()
    local dir = support.tmpdir()
    local text = "-- x.lua: a test.\nlocal o = require 'seqrt'.cli{lr = 0.1}\nprint(o.lr)\n"
    local script = support.write(dir .. "/x.lua", text)
    local out, err, code = support.run {script, "--lt", "3"}
    assert.same({"", "x.lua: error: unknown option '--lt': did you mean '--lr'?\nx.lua: --help lists the options\n", 2},
      {out, err, code})
    out, err, code = support.run {script, "--help"}
    assert.same({"", 0}, {err, code})
    assert.truthy(out:find "%-%-lr X +%(default: 0.1%)", out)
    assert.same({"0.5\n", "", 0}, {support.run {script, "--lr=.5"}})
  end)
end)
