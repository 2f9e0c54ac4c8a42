// One attempt after the other, each in a process of its own, so that neither a crash nor a C_Finalize touches
// the next. What came of it goes to standard output, a line each, for the test to judge: this program does
// not know the STEK.
#pragma once

#include "tests/attack/loot.hpp"

#include <functional>
#include <string>
#include <vector>

namespace stek::attack {

class Worker;

struct Attempt {
    std::string group, name;
    std::function<Loot(Worker&)> act;
};
using Attempts = std::vector<Attempt>;

/// Thrown when an attempt could not even begin: that proves nothing, so it counts against the suite.
class CannotTry : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct Scene;
/// Returns when all have been tried.
void try_all(const Attempts& attempts, const Scene& scene);

/// What the module says it can do.
struct Mechanism {
    CK_MECHANISM_TYPE type;
    CK_FLAGS flags;
};
using Mechanisms = std::vector<Mechanism>;

// Each file's attempts. Those by mechanism are made for every mechanism that the module lists.
void add_unwrapping(Attempts& to);
void add_unwrapping_by(Attempts& to, const Mechanisms& known);
void add_oracles(Attempts& to);
void add_pair(Attempts& to, const Mechanisms& known);
void add_stek(Attempts& to);
void add_stek_by(Attempts& to, const Mechanisms& known);
void add_changes(Attempts& to);
void add_calls(Attempts& to);
void add_planting(Attempts& to);
void add_old_ring(Attempts& to);
void add_vault(Attempts& to);

}  // namespace stek::attack
