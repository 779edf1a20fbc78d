<?php
// The contract of tests/apps/languages.sh with PHP's flock.
$modes = ['sh' => LOCK_SH, 'ex' => LOCK_EX];
[, $verb, $path] = $argv;

function open_or_die(string $path, string $mode)
{
    $file = fopen($path, $mode);
    if ($file === false) {
        exit(1);
    }
    return $file;
}

switch ($verb) {
case 'count':
    for ($turn = 0; $turn < (int) $argv[4]; $turn++) {
        $lock = open_or_die($path, 'c');
        flock($lock, LOCK_EX) || exit(1);
        $value = (int) file_get_contents($argv[3]) + 1;
        file_put_contents($argv[3], "$value\n");
        flock($lock, LOCK_UN);
        fclose($lock);
    }
    break;
case 'hold':
    $lock = open_or_die($path, 'c');
    flock($lock, $modes[$argv[3]]) || exit(1);
    echo "held\n";
    sleep(60);
    break;
case 'try':
    $lock = open_or_die($path, 'c');
    if (flock($lock, $modes[$argv[3]] | LOCK_NB, $would_block)) {
        echo "ok\n";
    } else {
        echo $would_block ? "busy\n" : "error\n";
    }
    break;
case 'limited':
    $lock = open_or_die($path, 'c');
    pcntl_signal(SIGALRM, fn () => null, false);
    pcntl_alarm(max(1, (int) ceil((float) $argv[4])));
    echo flock($lock, $modes[$argv[3]]) ? "ok\n" : "timeout\n";
    break;
}
