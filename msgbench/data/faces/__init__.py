"""Faces: from a folder of photographs of people to a clean set of square crops (the paper's section 3).

One pass looks at every photograph (`examine`: detect, crop, measure) and knows no threshold; then one function of all
that was seen decides (`decide`: filters, near-duplicates, review), and only what is kept is packed. What was seen is
kept beside the stores, so that other thresholds cost seconds. Names of files, which are names of people, stay in one
local table; everything else knows a photograph by its content.
"""
