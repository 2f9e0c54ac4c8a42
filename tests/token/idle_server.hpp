// The test's side of idle_server.cpp.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/env.hpp>
#include <boost/process/io.hpp>
#include <boost/process/pipe.hpp>

namespace stek::tests {

class IdleServer {
  public:
    /// `wrapper`: a program and its arguments that end by executing what follows them.
    explicit IdleServer(const std::string& openssl_conf, std::vector<std::string> wrapper = {})
        : child_(command(std::move(wrapper)),
                 boost::process::std_in<orders_, boost::process::std_out> answers_, with(openssl_conf)) {}
    IdleServer(const IdleServer&) = delete;
    IdleServer& operator=(const IdleServer&) = delete;
    ~IdleServer() {
        std::error_code gone;
        child_.terminate(gone);
    }
    [[nodiscard]] pid_t pid() const { return child_.id(); }
    /// Gives an order and waits for the answer.
    std::string order(char letter) {
        orders_ << letter << std::flush;
        std::string answer;
        std::getline(answers_, answer);
        return answer;
    }
    /// Its exit code, once it has been told to exit.
    int exit() {
        orders_ << 'x' << std::flush;
        child_.wait();
        return child_.exit_code();
    }

  private:
    static std::vector<std::string> command(std::vector<std::string> wrapper) {
        wrapper.emplace_back(STEK_IDLE_SERVER);
        return wrapper;
    }
    static boost::process::environment with(const std::string& openssl_conf) {
        boost::process::environment environment = boost::this_process::environment();
        environment["OPENSSL_CONF"] = openssl_conf;
        return environment;
    }
    boost::process::opstream orders_;
    boost::process::ipstream answers_;
    boost::process::child child_;
};

}  // namespace stek::tests
