// A process of its own for each side of a comparison: with the provider, and as stock. One provider attaches
// to a process, for good.
#pragma once

#include <functional>

#include <sys/types.h>

namespace stek::tests {

class Side {
  public:
    /// Forks. The child prepares itself and then answers each ask() with a figure.
    using Answer = std::function<double(unsigned count)>;
    explicit Side(const std::function<Answer()>& prepare);
    Side(const Side&) = delete;
    Side& operator=(const Side&) = delete;
    ~Side();
    /// `count` is at least 1. Throws if the child failed.
    double ask(unsigned count);

  private:
    int to_child_, from_child_;
    pid_t child_;
};

}  // namespace stek::tests
