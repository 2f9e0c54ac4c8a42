#include "tests/bench/nats_traffic.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <filesystem>
#include <fstream>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <set>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sys/socket.h>

namespace stek::tests {
namespace {

using nlohmann::json;

/// {its local port: the bytes of a connection to one of these ports}
using BytesByPort = std::map<std::uint16_t, Traffic>;

std::uint16_t port_of(int socket, int (*name)(int, sockaddr*, socklen_t*)) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    const bool is_there = name(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    return is_there && address.sin_family == AF_INET ? ntohs(address.sin_port) : std::uint16_t{0};
}

BytesByPort bytes_of_this_process(const std::set<std::uint16_t>& ports) {
    BytesByPort found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        const int fd = std::stoi(entry.path().filename());
        tcp_info info{};
        socklen_t size = sizeof info;
        if (!ports.contains(port_of(fd, ::getpeername)) ||
            ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
            continue;
        auto& traffic = found[port_of(fd, ::getsockname)];
        traffic.bytes_up = static_cast<double>(info.tcpi_bytes_acked);
        traffic.bytes_down = static_cast<double>(info.tcpi_bytes_received);
    }
    return found;
}

/// User and system time. proc(5): the name in parentheses may hold anything.
double cpu_seconds_of(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string text;
    std::getline(file, text);
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int i = 0; i < 11; ++i)
        fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

Traffic& Traffic::operator+=(const Traffic& other) noexcept {
    messages_up += other.messages_up;
    messages_down += other.messages_down;
    bytes_up += other.bytes_up;
    bytes_down += other.bytes_down;
    return *this;
}

Traffic Traffic::operator-(const Traffic& other) const noexcept {
    return {messages_up - other.messages_up, messages_down - other.messages_down, bytes_up - other.bytes_up,
            bytes_down - other.bytes_down};
}

Traffic Traffic::operator/(double share) const noexcept {
    return {messages_up / share, messages_down / share, bytes_up / share, bytes_down / share};
}

TrafficByUser traffic_of(const NatsServers& servers) {
    std::set<std::uint16_t> ports;
    for (const auto& server : servers.servers())
        ports.insert(server.port);
    const auto bytes = bytes_of_this_process(ports);
    TrafficByUser found;
    for (unsigned i = 0; i < servers.size(); ++i) {
        const auto answer = json::parse(servers.monitored(i, "/connz?limit=100000"));
        for (const auto& connection : answer.at("connections")) {
            const auto port = bytes.find(connection.at("port").get<std::uint16_t>());
            if (port == bytes.end())
                continue;
            Traffic traffic = port->second;
            traffic.messages_up = connection.at("in_msgs").get<double>();
            traffic.messages_down = connection.at("out_msgs").get<double>();
            found[connection.at("name").get<std::string>()] += traffic;
        }
    }
    return found;
}

ServersUse use_of(NatsServers& servers) {
    ServersUse use;
    for (unsigned i = 0; i < servers.size(); ++i) {
        use.cpu_s += cpu_seconds_of(servers.process(i).pid());
        use.resident =
            std::max(use.resident, json::parse(servers.monitored(i, "/varz")).at("mem").get<double>());
        use.stored =
            std::max(use.stored, json::parse(servers.monitored(i, "/jsz")).at("memory").get<double>());
        const auto routes = json::parse(servers.monitored(i, "/routez"));
        for (const auto& route : routes.at("routes")) {
            use.between_messages += route.at("out_msgs").get<double>();
            use.between_bytes += route.at("out_bytes").get<double>();
        }
    }
    return use;
}

}  // namespace stek::tests
