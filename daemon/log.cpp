#include "daemon/log.hpp"

#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <vector>

#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

namespace stek::daemon {
namespace {

// systemd.exec(5), $JOURNAL_STREAM: device and inode of the stream that stderr was connected to.
bool under_journal() {
    static const bool answer = [] {
        const char* stream = std::getenv("JOURNAL_STREAM");
        struct stat status {};
        unsigned long long device = 0, inode = 0;
        return stream != nullptr && std::sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
    }();
    return answer;
}

}  // namespace

void log(int priority, std::string_view message, std::initializer_list<LogField> fields) noexcept {
    try {
        if (!under_journal()) {
            std::string line = "stekd: ";
            line.append(message).append("\n");
            [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
            return;
        }
        std::vector<std::string> texts{"MESSAGE=" + std::string(message),
                                       "PRIORITY=" + std::to_string(priority), "SYSLOG_IDENTIFIER=stekd"};
        texts.reserve(texts.size() + fields.size());
        for (const auto& [name, value] : fields)
            texts.push_back(std::string(name) + "=" + value);
        std::vector<iovec> parts;
        parts.reserve(texts.size());
        for (auto& text : texts)
            parts.push_back({text.data(), text.size()});
        sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
    } catch (...) {  // NOLINT(bugprone-empty-catch): no memory for a log line; the work goes on
    }
}

}  // namespace stek::daemon
