// The attacker: a program with what a TLS server's worker has, run by the tests as a server's user.
//
//   attacker worker MODULE RING [PIN]           all of Cryptoki against the ticket token; with PIN, logged in
//   attacker loose MODULE RING                  the same on a pair without templates
//   attacker files MODULE RING DIRECTORY PID    files, sockets, and stekd, whose process PID is
//   attacker replay MODULE RING                 with a ring from before a revocation
//   attacker vault MODULE RING LABEL PIN        the vault token, logged in
//
// SOFTHSM2_CONF names the module's configuration. Prints one line for each attempt, see attempts.cpp.
#include "tests/attack/files.hpp"
#include "tests/attack/worker.hpp"

#include <cstdio>

using namespace stek::attack;

namespace {

/// Refusals mean something only while the honest way works.
Attempt honest(const char* when) {
    return {"honest", when, [](Worker& worker) {
                Loot loot = worker.encrypted_by(mechanism(CKM_AES_GCM), worker.stek(), false,
                                                std::vector<std::uint8_t>(32));
                loot.use.clear();
                if (loot.rv != CKR_OK)
                    throw CannotTry("a STEK does not seal");
                loot.why = "what a server does";
                return loot;
            }};
}

Attempts against_the_ticket_token(const Scene& scene) {
    const Mechanisms known = list_mechanisms(scene);
    Attempts all{honest("before")};
    add_unwrapping(all);
    add_unwrapping_by(all, known);
    add_oracles(all);
    add_pair(all, known);
    add_stek(all);
    add_stek_by(all, known);
    add_calls(all);
    // The last: where nothing forbids them, the pair is another afterwards, or there are two of its name.
    add_changes(all);
    add_planting(all);
    if (!scene.loose)
        all.push_back(honest("after"));
    return all;
}

}  // namespace

int main(int count, char** arguments) {
    try {
        const std::vector<std::string> words(arguments + 1, arguments + count);
        if (words.size() < 3)
            throw std::invalid_argument("see the head of attacker.cpp");
        const std::string& what = words[0];
        Scene scene{words[1], words[2], {}, what == "loose", {}};
        Attempts all;
        if (what == "worker" || what == "loose") {
            if (words.size() > 3)
                scene.pin = words[3];
            all = against_the_ticket_token(scene);
        } else if (what == "files" && words.size() == 5) {
            add_files(all, words[3], words[4]);
        } else if (what == "replay") {
            add_old_ring(all);
        } else if (what == "vault" && words.size() == 5) {
            scene.vault_label = words[3];
            scene.pin = words[4];
            add_vault(all);
        } else {
            throw std::invalid_argument("see the head of attacker.cpp");
        }
        try_all(all, scene);
        std::printf("end\n");
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "attacker: %s\n", error.what());
        return 1;
    }
}
