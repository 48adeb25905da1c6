-- format_spec.lua: tensors as text.
local sq = require "seqrt"

-- What print shows, without the last line.
local function body(x) return (tostring(x):gsub("\n%[%w+ %([%d,]*%)%]$", "")) end

describe("a printed tensor", function()
  it("ends with dtype and shape", function()
    assert.equal("[1., 2.]\n[float32 (2)]", tostring(sq.tensor {1.0, 2.0}))
    assert.equal("[[1, 2],\n [3, 4]]\n[int64 (2,2)]", tostring(sq.tensor {{1, 2}, {3, 4}}))
    assert.equal("3.\n[float64 ()]", tostring(sq.tensor(3, "float64")))
    assert.equal("[]\n[float32 (0,3)]", tostring(sq.zeros(0, 3)))
  end)

  it("gives all elements one form and one width", function()
    assert.equal("[ 1.5000, -2.2500, 10.0000]", body(sq.tensor {1.5, -2.25, 10}))
    assert.equal("[ -1, 100]", body(sq.tensor({-1, 100}, "int64")))
    assert.equal("[ true, false]", body(sq.tensor {true, false}))
    assert.equal("[1000.,    1.]", body(sq.tensor {1000.0, 1.0}))
  end)

  it("turns to powers of ten where the range asks for it, as PyTorch does", function()
    assert.equal("[1.0000e-05, 1.0000e+00]", body(sq.tensor {1e-5, 1}))
    assert.equal("[1.0000e+00, 1.0010e+03]", body(sq.tensor {1.0, 1001.0}))
    assert.equal("[100000000., 100000000.]", body(sq.tensor {1e8, 1e8}))
    assert.equal("[1.0000e-03, 2.0005e+03]", body(sq.tensor {0.001, 2000.5}))
    assert.equal("[9.0000e-05]", body(sq.tensor {0.00009}))
  end)

  it("shows nan and inf", function()
    assert.equal("[nan, inf]", body(sq.tensor {0 / 0, math.huge}))
    assert.equal("[  1.,  nan, -inf]", body(sq.tensor {1, 0 / 0, -math.huge}))
    assert.equal("[0.5000,    nan]", body(sq.tensor {0.5, 0 / 0}))
  end)

  it("separates blocks by empty lines", function()
    assert.equal("[[[0., 0.],\n  [0., 0.]],\n\n [[0., 0.],\n  [0., 0.]]]", body(sq.zeros(2, 2, 2)))
  end)

  it("breaks rows at 80 letters", function()
    for line in body(sq.arange(100)):gmatch "[^\n]+" do assert.is_true(#line <= 80) end
    assert.equal("[ 0,  1,  2,", body(sq.arange(100)):sub(1, 12))
    assert.equal(" 19, 20", body(sq.arange(100)):match "\n([^\n]+)":sub(1, 7))
  end)

  it("shows the edges only above 1,000 elements", function()
    assert.equal("[   0,    1,    2,  ...,  998,  999, 1000]", body(sq.arange(1001)))
    assert.is_nil(body(sq.arange(1000)):find("...", 1, true))
    assert.equal([=[
[[   0,    1,    2,  ...,   47,   48,   49],
 [  50,   51,   52,  ...,   97,   98,   99],
 [ 100,  101,  102,  ...,  147,  148,  149],
 ...,
 [1850, 1851, 1852,  ..., 1897, 1898, 1899],
 [1900, 1901, 1902,  ..., 1947, 1948, 1949],
 [1950, 1951, 1952,  ..., 1997, 1998, 1999]]
]=] .. "[int64 (40,50)]", tostring(sq.arange(2000):view(40, 50)))
    -- a short dim is shown whole
    assert.equal(2, select(2, body(sq.zeros(2, 1000)):gsub("%.%.%.", "")))
  end)

  it("prints views by their own order", function()
    assert.equal("[[1., 3.],\n [2., 4.]]", body(sq.tensor {{1.0, 2.0}, {3.0, 4.0}}:t()))
  end)

  it("does not let the locale change the point", function()
    local before = os.setlocale(nil, "numeric")
    for _, name in ipairs {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8"} do
      if os.setlocale(name, "numeric") then break end
    end
    local text = body(sq.tensor {1.5})
    os.setlocale(before, "numeric")
    assert.equal("[1.5000]", text)
  end)

  it("has text after it was closed", function()
    local x <const> = sq.zeros(2)
    getmetatable(x).__close(x)
    assert.equal("Tensor (closed)", tostring(x))
  end)
end)
