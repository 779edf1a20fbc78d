# The contract of tests/apps/languages.sh with Perl's flock.
use strict;
use warnings;
use Fcntl qw(:flock);
use Time::HiRes qw(ualarm);

my %modes = (sh => LOCK_SH, ex => LOCK_EX);
my ($verb, $path, @rest) = @ARGV;
$| = 1;

sub slurp_number {
    my ($file) = @_;
    open(my $in, '<', $file) or die "$file: $!";
    my $value = <$in>;
    close($in);
    return int($value);
}

if ($verb eq 'count') {
    my ($counter, $turns) = @rest;
    for (1 .. $turns) {
        open(my $lock, '>', $path) or die "$path: $!";
        flock($lock, LOCK_EX) or die "flock: $!";
        my $value = slurp_number($counter) + 1;
        open(my $out, '>', $counter) or die "$counter: $!";
        print $out "$value\n";
        close($out);
        close($lock);
    }
} elsif ($verb eq 'hold') {
    open(my $lock, '>>', $path) or die "$path: $!";
    flock($lock, $modes{$rest[0]}) or die "flock: $!";
    print "held\n";
    sleep(60);
} elsif ($verb eq 'try') {
    open(my $lock, '>>', $path) or die "$path: $!";
    if (flock($lock, $modes{$rest[0]} | LOCK_NB)) {
        print "ok\n";
    } else {
        print $!{EWOULDBLOCK} ? "busy\n" : "error $!\n";
    }
} elsif ($verb eq 'limited') {
    open(my $lock, '>>', $path) or die "$path: $!";
    my $locked = eval {
        local $SIG{ALRM} = sub { die "timeout\n" };
        ualarm(int($rest[1] * 1_000_000));
        flock($lock, $modes{$rest[0]}) or die "flock: $!";
        ualarm(0);
        1;
    };
    print $locked ? "ok\n" : $@;
}
