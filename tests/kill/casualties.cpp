#include "tests/kill/casualties.hpp"

#include "tests/fixtures/process.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <stdexcept>

namespace fs = std::filesystem;

namespace stek::test {
namespace {

bool stopped(pid_t pid) {
    return read_file("/proc/" + std::to_string(pid) + "/stat").find(") T ") != std::string::npos;
}

std::set<std::string> sockets_of(pid_t pid) {
    std::set<std::string> inodes;
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
        std::error_code gone;
        const auto target = fs::read_symlink(entry.path(), gone).string();
        if (target.starts_with("socket:["))
            inodes.insert(target.substr(8, target.size() - 9));
    }
    return inodes;
}

/// The clients of connections to `port` whose server's end is one of these sockets (proc(5), /proc/net/tcp).
std::set<std::uint16_t> clients_of(const std::set<std::string>& inodes, std::uint16_t port) {
    std::istringstream table(read_file("/proc/net/tcp"));
    std::set<std::uint16_t> clients;
    std::string line;
    std::getline(table, line);
    while (std::getline(table, line)) {
        std::istringstream fields(line);
        std::string number, local, remote, skipped, inode;
        fields >> number >> local >> remote;
        for (int i = 0; i < 6; ++i)
            fields >> skipped;
        fields >> inode;
        const auto port_of = [](const std::string& address) {
            return static_cast<std::uint16_t>(std::stoul(address.substr(address.find(':') + 1), nullptr, 16));
        };
        if (inodes.contains(inode) && port_of(local) == port && port_of(remote) != 0)
            clients.insert(port_of(remote));
    }
    return clients;
}

}  // namespace

Clock::time_point Casualties::kill_workers(const std::vector<pid_t>& pids, std::uint16_t port) {
    std::set<std::string> sockets;
    for (const pid_t pid : pids) {
        ::kill(pid, SIGSTOP);
        if (!eventually([pid] { return stopped(pid); }))
            throw std::runtime_error("a worker does not stop");
        sockets.merge(sockets_of(pid));
    }
    auto clients = clients_of(sockets, port);
    const auto moment = Clock::now();
    for (const pid_t pid : pids)
        ::kill(pid, SIGKILL);
    losses_.push_back({moment, moment, false, std::move(clients)});
    for (const pid_t pid : pids)
        if (!eventually([pid] { return !alive(pid); }))
            throw std::runtime_error("a killed worker lives");
    return moment;
}

void Casualties::nobody_served_since(Clock::time_point killed) {
    losses_.push_back({killed, Clock::now(), true, {}});
}

bool Casualties::forgive(const Handshake& failed) const {
    return std::any_of(losses_.begin(), losses_.end(), [&](const Loss& loss) {
        return failed.begun <= loss.ended && loss.begun <= failed.ended &&
               (loss.whoever || loss.client_ports.contains(failed.local_port));
    });
}

}  // namespace stek::test
