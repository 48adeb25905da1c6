-- csv.lua: a text as a cell of a CSV file: on one line, in quotes where it has some or a comma.
return function(text)
  text = text:gsub("[\r\n]+", " ")
  return text:find '[",]' and '"' .. text:gsub('"', '""') .. '"' or text
end
