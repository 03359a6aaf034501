# Reference caller: hands a new password to the watcher. It comes on standard input, in UTF-8.
#   ... | powershell -File Submit-Password.ps1 -User alice -To https://watcher:8443 -Thumbprint ...
# Exit codes: 0 the watcher has it, 1 it has not.
param(
    [Parameter(Mandatory)] [string] $User,
    [Parameter(Mandatory)] [string] $To,
    [Parameter(Mandatory)] [string] $Thumbprint,
    [switch] $Committed,
    [int] $TimeoutSec = 3
)
$ErrorActionPreference = 'Stop'
$buffer = New-Object System.IO.MemoryStream
try {
    [Console]::OpenStandardInput().CopyTo($buffer)
    $headers = @{
        'relay-account' = $User
        'relay-time'    = [DateTime]::UtcNow.ToString('o')
    }
    if ($Committed) { $headers['relay-committed'] = 'true' }
    $certificate = Get-Item "Cert:\LocalMachine\My\$Thumbprint"
    $null = Invoke-WebRequest -Method Post -Uri "$To/v1/password" -Headers $headers `
        -Body $buffer.ToArray() -Certificate $certificate -TimeoutSec $TimeoutSec -UseBasicParsing
    exit 0
} catch {
    [Console]::Error.WriteLine("the watcher does not have the password: $($_.Exception.Message)")
    exit 1
} finally {
    $bytes = $buffer.GetBuffer()
    [Array]::Clear($bytes, 0, $bytes.Length)
}
