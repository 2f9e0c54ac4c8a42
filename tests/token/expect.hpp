// How a program must have ended.
#pragma once

#include "tests/fixtures/process.hpp"

#include <boost/test/unit_test.hpp>

namespace stek::test {

/// With this exit code, and having said this.
inline void expect(const Outcome& outcome, int code, const std::string& text) {
    BOOST_TEST(outcome.exit_code == code, outcome.output);
    BOOST_TEST(outcome.output.find(text) != std::string::npos, outcome.output);
}

}  // namespace stek::test
