# SPDX-License-Identifier: GPL-2.0-only
# The names and results in a file of `python3 -m test --junit-xml`, a line each.
import sys
import xml.etree.ElementTree as tree

for case in tree.parse(sys.argv[1]).iter("testcase"):
    kinds = {child.tag for child in case}
    result = "fail" if kinds & {"failure", "error"} else "skip" if "skipped" in kinds else "pass"
    # A test that fails before its first line is named by its class.
    print(str(case.get("name")).replace("\t", " ").replace(" ", "_"), result, sep="\t")
