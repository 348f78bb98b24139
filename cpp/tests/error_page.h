// docs/errors.md, whose rows tests name; tests/docs/test_error_page.py looks for the names here,
// too.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace distos_coll::testing {

// "rank <rank> of <size>", the message of a row.
inline std::string error_row(const std::string& name) {
  std::ifstream file(DISTOS_COLL_ERROR_PAGE);
  std::ostringstream page;
  page << file.rdbuf();
  const std::string text = page.str();
  const std::string anchor = "<a id=\"" + name + "\"></a>`";
  const size_t at = text.find(anchor);
  if (at == std::string::npos) return "";
  return text.substr(at + anchor.size(), text.find('`', at + anchor.size()) - at - anchor.size());
}

// Whether the row's text, with anything for its <placeholders>, is in the message.
inline ::testing::AssertionResult says(const std::string& name, const std::string& message) {
  const std::string row = error_row(name);
  if (row.empty()) return ::testing::AssertionFailure() << "docs/errors.md has no row " << name;
  size_t found = 0;
  for (size_t at = 0; at < row.size();) {
    const size_t end = std::min(row.find('<', at), row.size());
    const std::string piece = row.substr(at, end - at);
    found = message.find(piece, found);
    if (found == std::string::npos)
      return ::testing::AssertionFailure() << "\"" << piece << "\" is not in: " << message;
    found += piece.size();
    at = end == row.size() ? end : row.find('>', end) + 1;
  }
  return ::testing::AssertionSuccess();
}

}  // namespace distos_coll::testing
