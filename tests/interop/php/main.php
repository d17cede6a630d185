<?php
// SPDX-License-Identifier: Apache-2.0
// Runs every test class; an argument is a part of the names to run.
declare(strict_types=1);

set_error_handler(static function (int $severity, string $text, string $file, int $line): bool {
    if ((error_reporting() & $severity) === 0) {
        return false;
    }
    throw new ErrorException($text, 0, $severity, $file, $line);
});
error_reporting(E_ALL & ~E_DEPRECATED);

$failed = 0;
foreach (['connection', 'routing', 'publish', 'queue', 'consume', 'tx_rpc'] as $part) {
    require_once __DIR__ . "/$part.php";
}
foreach (get_declared_classes() as $class) {
    if (is_subclass_of($class, Suite::class)) {
        $failed += $class::runAll($argv[1] ?? '');
    }
}
exit($failed === 0 ? 0 : 1);
