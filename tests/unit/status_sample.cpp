// status_sample json|prometheus [bare]: prints the made-up status, or one of which nothing is known, for
// other programs to judge.
#include "status_sample.hpp"

#include <iostream>
#include <string_view>

int main(int argc, char** argv) {
    if (argc < 2)
        return 2;
    stek::daemon::Status bare;
    bare.location = "x";
    bare.vault_uri = bare.ticket_uri = "pkcs11:token=x";
    bare.problems = {"there is no key ring at /run/keyring"};
    const auto status = argc > 2 ? bare : stek::test::sample_status();
    std::cout << (std::string_view(argv[1]) == "json" ? stek::daemon::status_json(status)
                                                      : stek::daemon::status_prometheus(status));
}
