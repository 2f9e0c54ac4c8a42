// What an exception means for the service.
#include "daemon/another_stekd.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/service.hpp"
#include "daemon/tokens.hpp"
#include "pkcs11/error.hpp"
#include "pkcs11/refused_pins.hpp"

namespace stek::daemon {

Failure current_failure() noexcept {
    try {
        throw;
    } catch (const ConfigError& error) {
        return {exit_config, false, error.what()};
    } catch (const WeakToken& error) {
        return {exit_config, false, error.what()};
    } catch (const PinRefused& error) {
        return {exit_refused, false, error.what()};
    } catch (const pkcs11::ModuleError& error) {
        return {exit_config, false, error.what()};
    } catch (const AnotherStekd& error) {
        return {exit_temporary, false, error.what()};
    } catch (const pkcs11::NoRandomBytes& error) {
        return {exit_software, false, error.what()};
    } catch (const std::bad_alloc&) {
        return {exit_software, true, "out of memory"};
    } catch (const std::overflow_error& error) {
        return {exit_software, false, error.what()};
    } catch (const std::logic_error& error) {
        return {exit_software, false, error.what()};
    } catch (const std::exception& error) {
        return {exit_temporary, true, error.what()};
    }
}

}  // namespace stek::daemon
