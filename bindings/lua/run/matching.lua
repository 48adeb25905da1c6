-- matching.lua: the files of a folder that match a pattern, or nil and why; glob's own characters in the folder's name
-- are taken as they are.
local fs = require "seqrt.sys".fs

return function(dir, pattern) return fs.glob(fs.join((dir:gsub("[%[%]*?\\~]", "\\%0")), pattern)) end
