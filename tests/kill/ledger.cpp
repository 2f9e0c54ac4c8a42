#include "tests/kill/ledger.hpp"

namespace stek::test {

std::vector<std::string> Ledger::enter(const KeyRing& ring) {
    std::vector<std::string> wrong;
    if (ring.generation < generation_)
        wrong.push_back("generation " + std::to_string(ring.generation) + " after " +
                        std::to_string(generation_));
    generation_ = ring.generation;
    for (const auto& record : ring.records) {
        const auto key = std::to_string(record->epoch) + "." + std::to_string(record->revision);
        const auto [known, is_new] =
            made_.try_emplace({record->epoch, record->revision}, Made{record->name, record->wrapped_key});
        if (known->second.name != record->name || known->second.wrapped_key != record->wrapped_key)
            wrong.push_back("key " + key + " was made twice");
        if (is_new && by_name_.contains(record->name))
            wrong.push_back("the name of key " + key + " was another's");
        by_name_[record->name] = {record->epoch, record->revision, record->not_before, record->seal_until,
                                  record->open_until};
    }
    return wrong;
}

const Ledger::Key* Ledger::find(const KeyName& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &found->second;
}

}  // namespace stek::test
