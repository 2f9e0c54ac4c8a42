#include "daemon/fleet/machine_ticket.hpp"

#include "daemon/ring_place.hpp"
#include "daemon/state.hpp"
#include "daemon/unfinished_objects.hpp"
#include "provider/ticket_token.hpp"

#include <utility>

namespace stek::fleet {
namespace {

class TokenTicketWork final : public TicketWork {
  public:
    TokenTicketWork(pkcs11::Session& session, const daemon::Readers& readers, TicketPlaces places,
                    daemon::Progress progress)
        : session_(session),
          readers_(readers),
          places_(std::move(places)),
          progress_(std::move(progress)),
          oaep_(ticket_oaep_hash(session.shared_token())) {
        if (!places_.token_directory.empty())
            daemon::remove_unfinished_objects(places_.token_directory);
        give_access();
        daemon::give_ring_access(places_.keyring, readers_);
    }

    std::string boot_id() override { return daemon::current_boot_id(); }
    std::string token_serial() override { return session_.token().serial(); }
    std::vector<PairId> pairs() override { return list_ticket_pairs(session_); }
    OaepHash oaep() override { return oaep_; }

    OwnPair make_pair(std::uint64_t slot_epoch) override {
        step();
        auto pair = make_ticket_pair(session_, places_.private_pairs);
        step();
        try {
            give_access();
        } catch (...) {
            // No server could use it, and each try would leave another.
            destroy_ticket_pair(session_, pair.id);
            throw;
        }
        return {pair.id, slot_epoch, std::move(pair.spki)};
    }

    void destroy_pair(const PairId& id) override { destroy_ticket_pair(session_, id); }

    void publish(const KeyRing& ring) override {
        daemon::publish_ring(ring, places_.keyring, places_.ring_version, readers_);
    }

  private:
    void give_access() const {
        if (!places_.token_directory.empty())
            readers_.allow_token(places_.token_directory);
    }
    void step() const { daemon::tell(progress_, daemon::Awaited::token); }

    pkcs11::Session& session_;
    const daemon::Readers& readers_;
    TicketPlaces places_;
    daemon::Progress progress_;
    OaepHash oaep_;
};

}  // namespace

std::unique_ptr<TicketWork> make_ticket_work(pkcs11::Session& session, const daemon::Readers& readers,
                                             TicketPlaces places, daemon::Progress progress) {
    return std::make_unique<TokenTicketWork>(session, readers, std::move(places), std::move(progress));
}

}  // namespace stek::fleet
