// What the users that TLS servers run as may do, tried as each of them: modes, ACLs, mounts and security
// modules all have their say, and only the kernel knows the sum.
#include "daemon/access.hpp"
#include "daemon/doctor.hpp"
#include "daemon/layout.hpp"
#include "provider/file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <sys/wait.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

struct Trial {
    std::string path;
    int flags;  ///< of open(2): O_RDONLY, O_WRONLY, O_DIRECTORY...; or for access(2), see by_access
    bool by_access = false;
};

int try_once(const Trial& trial) {
    if (trial.by_access)
        return ::access(trial.path.c_str(), trial.flags) == 0 ? 0 : errno;
    const Fd file(::open(trial.path.c_str(), trial.flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    return file ? 0 : errno;
}

std::string how_to_close(const std::string& path) {
    return "setfacl -b " + path + "; chmod " + (fs::is_directory(path) ? "700 " : "600 ") + path;
}

/// What each trial gave to that user without supplementary groups (HAProxy drops them): 0 or an errno. Throws
/// std::system_error.
std::vector<int> try_as(const passwd& user, const std::vector<Trial>& trials) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        throw_errno("cannot make", "a pipe");
    const Fd from(ends[0]);
    Fd to(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
        const bool is_user = ::setgroups(0, nullptr) == 0 &&
                             ::setresgid(user.pw_gid, user.pw_gid, user.pw_gid) == 0 &&
                             ::setresuid(user.pw_uid, user.pw_uid, user.pw_uid) == 0;
        for (const auto& trial : trials) {
            const int answer = is_user ? try_once(trial) : EPERM;
            if (::write(to.get(), &answer, sizeof answer) != sizeof answer)
                ::_exit(1);
        }
        ::_exit(is_user ? 0 : 1);
    }
    const int fork_error = errno;
    to = Fd();
    std::vector<int> answers;
    for (int answer = 0; ::read(from.get(), &answer, sizeof answer) == sizeof answer;)
        answers.push_back(answer);
    int status = -1;
    if (child > 0)
        ::waitpid(child, &status, 0);
    if (status != 0 || answers.size() != trials.size()) {
        errno = child < 0 ? fork_error : EPERM;
        throw_errno("cannot become", user.pw_name);
    }
    return answers;
}

class Reader {
  public:
    Reader(Diagnosis& diagnosis, const Site& site, const passwd& user)
        : diagnosis_(diagnosis), site_(site), user_(user), subject_("reader " + std::string(user.pw_name)) {}

    void examine() {
        look_at_ring();
        look_at_ticket_token();
        if (!site_.config.stats.empty())
            look_at_stats();
        look_at_secrets();
        if (!found_)
            diagnosis_.fine(subject_, "reads what it must, and nothing that is not for it");
    }

  private:
    int attempt(const std::string& path, int flags, bool by_access = false) {
        return try_as(user_, {{path, flags, by_access}}).front();
    }
    void fail(const std::string& what, const std::string& remedy) {
        found_ = true;
        diagnosis_.fail(subject_, what, remedy);
    }

    // The directory that stops it, if one does, is the cause, not the file's own ACL.
    bool reaches(const std::string& path) {
        std::vector<Trial> trials;
        for (auto directory = fs::path(path).parent_path(); directory != directory.parent_path();
             directory = directory.parent_path())
            trials.push_back({directory.string(), X_OK, true});
        const auto answers = try_as(user_, trials);
        for (auto i = answers.size(); i-- > 0;)
            if (answers[i] == EACCES) {
                fail("it is not let through " + trials[i].path + " to " + path,
                     "setfacl -m u:" + std::string(user_.pw_name) + ":x " + trials[i].path);
                return false;
            }
        return true;
    }

    // A new ring has its readers' ACL, and so have the token's files when it is made.
    [[nodiscard]] std::string give_again() const { return site_.new_ring_command(); }

    void look_at_readable(const std::string& path, const std::string& what) {
        if (const int error = attempt(path, O_RDONLY); error != 0 && error != ENOENT)
            fail("it cannot read " + what + " " + path + ": " + std::strerror(error), give_again());
        if (attempt(path, W_OK, true) == 0)
            fail("it can change " + what + " " + path,
                 "setfacl -b " + path + "; chmod 640 " + path + "; " + give_again());
    }

    void look_at_ring() {
        const auto& ring = site_.config.keyring;
        if (!reaches(ring))
            return;
        look_at_readable(ring, "the key ring");
        const auto directory = fs::path(ring).parent_path().string();
        if (attempt(directory, W_OK, true) == 0)
            fail("it can put another key ring in place of " + ring + ": it may write to " + directory,
                 "setfacl -b " + directory + "; chmod 755 " + directory);
    }

    void look_at_ticket_token() {
        const auto directory =
            softhsm_token_directory(site_.config.module_config, site_.status.ticket_serial);
        if (directory.empty() || !reaches(directory + "/token.object"))
            return;
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(directory, error))
            look_at_readable(entry.path().string(), "the ticket token's");
        if (attempt(directory, W_OK, true) == 0)
            fail("it can change the ticket token " + directory,
                 "setfacl -b " + directory + "; chmod 750 " + directory + "; " + give_again());
    }

    void look_at_stats() {
        const auto& stats = site_.config.stats;
        if (stats.empty() || !reaches(stats))
            return;
        if (const int error = attempt(stats, W_OK | X_OK, true); error == EACCES || error == ENOENT) {
            found_ = true;
            diagnosis_.warn(subject_,
                            "it cannot write its counters to " + stats + ": " + std::strerror(error),
                            site_.reload_command());
        }
    }

    void look_at_secrets() {
        const auto& config = site_.config;
        std::vector<std::string> secrets{config.state};
        if (site_.is_system)
            secrets.emplace_back(system_vault);
        for (const auto& pins : {(fs::path(config.file).parent_path() / "pins").string(), config.remake_pins})
            if (!pins.empty())
                secrets.push_back(pins);
        for (const auto& token : site_.tokens)
            if (const auto& source = token.uri.pin_source(); source && source->starts_with("file:"))
                secrets.push_back(source->substr(5));
        for (const auto& path : other_tokens())
            secrets.push_back(path);
        for (const auto& path : secrets)
            if (attempt(path, O_RDONLY) == 0)
                fail("it can read " + path + ", which is stekd's alone", how_to_close(path));
    }

    // Every token below the tokendir but the one that is for readers.
    [[nodiscard]] std::vector<std::string> other_tokens() const {
        const auto& conf = site_.config.module_config;
        const auto ticket = softhsm_token_directory(conf, site_.status.ticket_serial);
        std::vector<std::string> others;
        std::error_code error;
        if (ticket.empty())
            return others;  // then it is not known which is which
        for (const auto& entry : fs::directory_iterator(softhsm_tokens_directory(conf), error))
            if (entry.path() != ticket && fs::exists(entry.path() / "token.object", error))
                others.push_back(entry.path().string());
        return others;
    }

    Diagnosis& diagnosis_;
    const Site& site_;
    const passwd& user_;
    std::string subject_;
    bool found_ = false;
};

/// What somebody may do who has no business here.
void look_at_strangers(Diagnosis& diagnosis, const Site& site) {
    passwd stranger{};
    char name[] = "a stranger";
    stranger.pw_name = name;
    stranger.pw_uid = stranger.pw_gid = 65533;  // nobody's
    std::vector<std::string> paths{site.config.keyring, fs::path(site.config.keyring).parent_path().string()};
    const auto token = softhsm_token_directory(site.config.module_config, site.status.ticket_serial);
    std::error_code error;
    if (!token.empty()) {
        paths.push_back(token);
        for (const auto& entry : fs::directory_iterator(token, error))
            paths.push_back(entry.path().string());
    }
    std::vector<Trial> trials;
    for (const auto& path : paths) {
        trials.push_back({path, fs::is_directory(path, error) ? W_OK : R_OK, true});
        trials.push_back({path, W_OK, true});
    }
    const auto answers = try_as(stranger, trials);
    for (std::size_t i = 0; i < trials.size(); i += 2)
        if (answers[i] == 0 || answers[i + 1] == 0)
            diagnosis.fail(
                "others",
                std::string("anybody may ") + (answers[i + 1] == 0 ? "write to " : "read ") + trials[i].path,
                "chmod o-rw " + trials[i].path);
}

}  // namespace

void diagnose_readers(Diagnosis& diagnosis, const Site& site) {
    const auto& names = site.config.readers;
    if (names.empty())
        return diagnosis.warn(
            "readers", "there are none: no TLS server may read the key ring",
            "readers = [\"www-data\"] in " + site.config.file + ", then: " + site.new_readers_command());
    if (::geteuid() != 0)
        return diagnosis.note("readers", "only root can try what they may do", "sudo stekctl doctor");
    try {
        look_at_strangers(diagnosis, site);
    } catch (const std::exception& error) {
        diagnosis.note("others", error.what());
    }
    for (const auto& name : names) {
        const passwd* user = getpwnam(name.c_str());  // NOLINT(concurrency-mt-unsafe): one thread
        if (user == nullptr) {
            diagnosis.fail(
                "readers", "there is no user " + name,
                "take it out of readers in " + site.config.file + ", or: adduser --system " + name);
            continue;
        }
        if (user->pw_uid == 0) {
            diagnosis.warn("reader " + name, "it is root, who may do everything",
                           "let the server run as a user of its own, and name that in " + site.config.file);
            continue;
        }
        try {
            Reader(diagnosis, site, *user).examine();
        } catch (const std::exception& error) {
            diagnosis.note("reader " + name, error.what());
        }
    }
}

}  // namespace stek::daemon
